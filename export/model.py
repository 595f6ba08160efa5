"""`make model`, or `python -m export model RECIPE`: from weights to model files that a board can trust, in one command.

build -> verify -> int8 (quantize and verify; if verify fails, first with quantization-aware training, then with more layers in float)
-> calibrate -> gain -> search -> latency -> card -> install.
Each step is a command of its own. Finished steps are not repeated, so an interrupted run continues. A failed step ends the run with exit code 1 and
leaves the files in use unchanged: all of them are replaced at the end. `report.md` in the work folder holds the output of every step.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.contract import ClockfaceError
from device.vision.catalogue import LIST, sha256
from export.__main__ import main
from export.recipe import ModelRecipe, RecipeError, load
from training import arguments

GOALS = (0.992, 0.995, 0.998, 0.999)  # mean cosines required of `quantize`, in turn until `verify` passes: higher ones keep more layers in float


class ModelRunError(ClockfaceError):
    """A step failed."""

    code = "model_run"


@dataclass(frozen=True)
class Step:
    name: str
    commands: tuple[tuple[str, ...], ...]  # arguments of `python -m export`, run in order; all must succeed
    alternatives: tuple[tuple[tuple[str, ...], ...], ...] = ()  # tried in turn if the commands fail


def steps(recipe: ModelRecipe, weights: Path, work: Path, pages: Path) -> list[Step]:
    """All steps, in order."""
    base, small = str(work / f"{recipe.name}.onnx"), str(work / f"{recipe.name}-int8.onnx")
    check, data = recipe.verify, recipe.crops
    about = ("--name", recipe.name, "--licence", recipe.licence, "--training-data", recipe.training_data)
    limits = ("--mean-cosine", str(check.mean_cosine), "--tar-loss", str(check.tar_loss), "--size-mb", str(check.size_mb))
    shown = ("--people", check.people) if check.people else ("--pairs", check.pairs, "--images", check.images)
    gate = (*shown, *(("--groups", check.groups) if check.groups else ()), *limits)
    folders = tuple(word for folder in data.folders for word in ("--folder", folder))
    records = ("--rec", data.rec, "--people", str(data.people), *(("--teacher", data.teacher) if data.teacher else ())) if data.rec else ()
    other = ("--other", data.other) if data.other else ()
    note = ("--note", data.note) if data.note else ()
    teacher = ("--visits-teacher", data.visits_teacher) if data.visits_teacher else ()
    cohort = ("--cohort", data.cohort) if data.cohort else ("--cohort-of", data.cohort_of) if data.cohort_of else ()
    people = ("--visits", data.visits, *teacher, *cohort) if data.visits else (*folders, *records, *other)
    keep = ("--keep", *recipe.in_float) if recipe.in_float else ()
    ranges = folders or ("--rec", data.rec, "--people", "500")

    def int8(goal: float, source: str = base) -> tuple[tuple[str, ...], ...]:
        report = str(work / "quantize.json")
        return (
            ("quantize", source, "--out", small, "--goal", str(goal), "--report", report, *keep, *ranges),
            ("verify", small, "--reference", base, *gate),
        )

    tuned = str(work / f"{recipe.name}-qat" / f"{recipe.name}.onnx")
    train = ("qat", str(weights), "--out", tuned, "--minutes", str(recipe.qat_minutes), *about, *folders, *records)
    trained_on = ((train, *int8(GOALS[0], tuned)),) if recipe.qat_minutes else ()
    found = recipe.search
    photos = ("--people", found.people, "--strangers", found.strangers, "--gallery", str(found.gallery))
    searched = [Step("search", (("search", base, small, *photos),))] if found.people else []
    better = [Step("gain", (("gain", small, "--against", recipe.gain.against, "--people", recipe.gain.people),))] if recipe.gain.against else []
    return [
        Step("build", (("build", str(weights), "--out", base, *about),)),
        Step("verify", (("verify", base, "--reference", str(weights), *gate),)),
        Step("int8", int8(GOALS[0]), (*trained_on, *(int8(goal) for goal in GOALS[1:]))),
        Step("calibrate", (("calibrate", base, small, *people, *note),)),
        *better,
        *searched,
        Step("latency", (("latency", base, small, "--threads", *map(str, sorted({1, os.cpu_count() or 1})), "--write"),)),
        Step("card", tuple(("card", model, "--html", str(pages / f"{Path(model).stem}.html")) for model in (base, small))),
    ]


class Run:
    """Runs steps and records each in `stamps.json`, so that only the missing ones are run."""

    def __init__(self, work: Path, inputs: Sequence[Path]) -> None:
        self.work = work
        self._inputs = hashlib.sha256("".join(fingerprint(path) for path in inputs).encode()).hexdigest()
        self._stamps = work / "stamps.json"
        self._done: list[dict[str, str]] = json.loads(self._stamps.read_text(encoding="utf-8")) if self._stamps.exists() else []
        if self._done and self._done[-1]["models"] != self._models():
            self._done = []  # the files have been changed since

    def follow(self, wanted: Sequence[Step]) -> None:
        """Run the steps that are not finished; stop at the first that fails.

        Raises:
            ModelRunError: a step failed; the report holds its output.
        """
        key = self._inputs
        for number, step in enumerate(wanted):
            key = hashlib.sha256((key + repr(step)).encode()).hexdigest()
            if number < len(self._done) and self._done[number]["key"] == key:
                print(f"== {step.name}: already done", flush=True)
                continue
            del self._done[number:]
            begin = time.monotonic()
            print(f"== {step.name}", flush=True)
            succeeded, output = self._attempt(step)
            self._done.append({"name": step.name, "key": key, "models": self._models(), "said": output, "seconds": f"{time.monotonic() - begin:.0f}"})
            self._write_report(None if succeeded else step.name)
            if not succeeded:
                raise ModelRunError(
                    f"step {step.name} failed; the models in use are unchanged; read {self.work / 'report.md'}, fix the cause and run this again",
                    code="model_run.step",
                )
            self._stamps.write_text(json.dumps(self._done), encoding="utf-8")

    def _attempt(self, step: Step) -> tuple[bool, str]:
        output = ""
        for commands in (step.commands, *step.alternatives):
            for command in commands:
                code, printed = captured(lambda command=command: main(list(command)))  # type: ignore[misc]
                output += f"$ python -m export {' '.join(command)}\n{printed}\n"
                if code:
                    break
            else:
                return True, output
        return False, output

    def _models(self) -> str:
        return " ".join(f"{path.name}:{sha256(path)}" for path in sorted(self.work.glob("*.onnx")))

    def _write_report(self, failed: str | None) -> None:
        parts = [f"# {'FAILED at ' + failed if failed else 'Done so far'}\n"]
        parts += [f"## {step['name']} ({step['seconds']} s)\n\n```\n{step['said'].rstrip()}\n```\n" for step in self._done]
        (self.work / "report.md").write_text("\n".join(parts), encoding="utf-8")


class _Both(io.StringIO):
    """A text stream that keeps what is written and also passes it on."""

    def __init__(self, shown: io.TextIOBase) -> None:
        super().__init__()
        self._shown = shown

    def write(self, text: str) -> int:
        self._shown.write(text)
        return super().write(text)


def captured(work: Callable[[], int]) -> tuple[int, str]:
    """Run a command and return (exit code, output and errors); the output is shown as well."""
    out, err = _Both(sys.stdout), _Both(sys.stderr)  # type: ignore[arg-type]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = work()
    errors = "".join(line for line in err.getvalue().splitlines(keepends=True) if line.startswith("error:"))
    return code, out.getvalue() + errors


def fingerprint(path: Path) -> str:
    """A text that changes when a file's bytes, or the names or sizes of the files in a folder, change."""
    if path.is_dir():
        return "".join(f"{file.relative_to(path)}:{file.stat().st_size};" for file in sorted(path.rglob("*")) if file.is_file())
    if not path.is_file():
        raise RecipeError(f"{path} does not exist; correct the recipe or fetch it (`python -m device models pull` for models)")
    return sha256(path)


def trained(recipe: ModelRecipe, work: Path) -> Path:
    """The weights of the recipe's training run, which continues if it was interrupted.

    Raises:
        ModelRunError: the training failed.
    """
    import training.__main__ as training

    out = work / "training"
    start = ["--resume"] if (out / "last.pt").exists() else ["--init", recipe.init] if recipe.init else []
    arguments = ["train", recipe.training, "--out", str(out), *start]
    if training.main(arguments) != 0:
        raise ModelRunError(f"training by {recipe.training!r} failed; fix the cause and run this again, it continues from its last checkpoint")
    return out / "last.pt"


def install(models: Sequence[Path], folder: Path, catalogue: Path) -> None:
    """Copy all models to `folder`, replacing files only once every copy is written, and enter their SHA-256 in the list of models."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [shutil.copyfile(model, folder / f".{model.name}.part") for model in models]
    for model, part in zip(models, parts, strict=True):
        os.replace(part, folder / model.name)
        digest, size = sha256(folder / model.name), model.stat().st_size
        text = catalogue.read_text(encoding="utf-8")
        listed = relisted(text, model.name, digest, size)
        catalogue.write_text(listed, encoding="utf-8")
        known = listed != text or digest in text
        about = f"listed in {catalogue}" if known else f"to use it, set [embedder] model to its path and sha256 = {digest!r}"
        print(f"{folder / model.name}: {size / 1e6:.2f} MB, {about}")


def relisted(text: str, file: str, digest: str, size: int) -> str:
    """The list of models with a new SHA-256 and size for one file; unchanged if the file is not listed."""
    fields = rf'(file = "{re.escape(file)}"\nsha256 = ")[0-9a-f]*("\nsize = )\d+'
    return re.sub(fields, rf"\g<1>{digest}\g<2>{size}", text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", default="clockface-mobile", help="a name in export/recipes or a .toml file")
    parser.add_argument("--weights", type=Path, help=".pt file to use instead of the recipe's")
    parser.add_argument("--train", action="store_true", help="first train by the recipe's training")
    parser.add_argument("--work", type=arguments.folder, help="work folder (default: runs/model/NAME)")
    parser.add_argument("--out", type=arguments.folder, default=Path("models"), help="where the finished files go")
    parser.add_argument("--pages", type=arguments.folder, default=Path("docs/cards"), help="where the card pages go")


def run(args: argparse.Namespace) -> int:
    recipe = load(args.recipe)
    work = args.work or Path("runs/model") / recipe.name
    weights = trained(recipe, work) if args.train or not (args.weights or recipe.weights) else args.weights or Path(recipe.weights)
    data, check, photos = recipe.crops, recipe.verify, (recipe.search.people, recipe.search.strangers)
    inputs = [weights, *map(Path, filter(None, (*data.folders, data.rec, data.teacher, data.other, check.pairs, check.images, check.groups, *photos)))]
    checked = Run(work, inputs)  # raises where one is missing
    work.mkdir(parents=True, exist_ok=True)
    checked.follow(steps(recipe, weights, work, work))
    models = [work / f"{recipe.name}.onnx", work / f"{recipe.name}-int8.onnx"]
    install(models, args.out, LIST)
    args.pages.mkdir(parents=True, exist_ok=True)
    for model in models:
        shutil.copyfile(model.with_suffix(".html"), args.pages / f"{model.stem}.html")
    print(f"report: {work / 'report.md'}; pages: {args.pages}")
    return 0
