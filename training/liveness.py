"""Fine-tune the liveness nets on recordings of your own; what is held out is reported beside the nets as they were.

    python -m training liveness FOLDER --out runs/liveness [--table clips.tsv] [--each-source]
    python -m export adopt-liveness runs/liveness/net_0.pt:2.7 runs/liveness/net_1.pt:4 --out own-liveness.onnx --licence ... --training-data ...

FOLDER has sub-folders `real` and one for each species of attack, as for `python -m device liveness-trial`; a folder inside one of these names the source. Half
of each batch are living faces. The other half are attacks: those of the folder, and others made from the living faces (training/recapture.py), which are
never measured on. Batch norm keeps its statistics. The nets that are written lie only a share of the way from the first weights to the tuned ones
(M. Wortsman et al., CVPR 2022, https://arxiv.org/abs/2109.01903): all the way, they take other cameras for an attack (docs/experiments-liveness.md).
`--each-source` trains once more without each source and reports how that source is judged.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from device.contract import LivenessCrop
from device.vision.error_rates import equal_error_rate
from device.vision.liveness import surroundings
from training import arguments, donor
from training.backbones.minifasnet import LIVE, SIZE, MiniFASNet, from_state
from training.presentations import PresentationsError, Shown, read
from training.recapture import FacePicture, photographed, recapture

INIT = ("minifasnet-v2:2.7", "minifasnet-v1se:4")
MIN_CONTEXT = 1.2  # as the adopted model's card
JITTER = 0.06  # largest change of the face's box in its sides
CLIP_NORM = 5.0


@dataclass(frozen=True)
class LivenessTraining:
    """How the nets are tuned; few steps of a low rate, because few sources are at hand."""

    steps: int = 100
    batch: int = 24
    learning_rate: float = 1e-4
    made: float = 0.5  # share of attacks that are made from living faces
    share: float = 0.2  # of the way from the first weights to the tuned ones
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or not self.learning_rate > 0 or not (0 <= self.made <= 1 and 0 <= self.share <= 1):
            wanted = "steps from 1, batch from 2, a learning rate above 0, made and share from 0 to 1"
            raise PresentationsError(f"{self}: expected {wanted}", code="presentations.settings")


@dataclass(frozen=True)
class LivenessNet:
    """A net and the crop that it looks at."""

    net: MiniFASNet
    crop: LivenessCrop


def open_nets(given: Sequence[str]) -> list[LivenessNet]:
    """`WEIGHTS:SCALE` each -> nets in evaluation mode."""
    pairs = [one.rpartition(":") for one in given]
    if wrong := [one for one, (name, _, scale) in zip(given, pairs, strict=True) if not name or not scale.replace(".", "", 1).isdecimal()]:
        raise PresentationsError(f"{wrong[0]:.80}: expected weights and the scale of their crop, such as {INIT[0]}", code="presentations.settings")
    states = [torch.load(donor.resolve(name), weights_only=True, map_location="cpu") for name, _, _ in pairs]
    crops = [LivenessCrop(f"crop_{number}", float(scale), SIZE) for number, (_, _, scale) in enumerate(pairs)]
    return [LivenessNet(from_state(state), crop) for state, crop in zip(states, crops, strict=True)]


class Sampler:
    """Batches of living faces and attacks.

    Every source has the same chance, however long its clips are.
    """

    def __init__(self, shown: Sequence[Shown], settings: LivenessTraining) -> None:
        self._rng = np.random.default_rng(settings.seed)
        self._real = _by_source(one for one in shown if not one.file.attack)
        self._attacks = _by_source(one for one in shown if one.file.attack)
        self._settings = settings
        if not self._real:
            raise PresentationsError("no living face is left to train on; record more than one source in `real`")

    def batch(self) -> tuple[list[FacePicture], torch.Tensor]:
        """Pictures, and for each 1 where it is a living face; the first half are."""
        half = self._settings.batch // 2
        pictures = [self._drawn(self._real) for _ in range(half)] + [self._attack() for _ in range(half)]
        return [jittered(photographed(picture, self._rng), self._rng) for picture in pictures], torch.tensor([1.0] * half + [0.0] * half)

    def _drawn(self, sources: list[list[FacePicture]]) -> FacePicture:
        source = sources[self._rng.integers(len(sources))]
        return source[self._rng.integers(len(source))]

    def _attack(self) -> FacePicture:
        if self._attacks and self._rng.random() >= self._settings.made:
            return self._drawn(self._attacks)
        return recapture(self._drawn(self._real), self._drawn(self._real).image, self._rng)


def _by_source(shown: Any) -> list[list[FacePicture]]:
    sources: dict[tuple[str, str], list[FacePicture]] = {}
    for one in shown:
        sources.setdefault((one.file.species, one.source), []).extend(one.pictures)
    return list(sources.values())


def jittered(picture: FacePicture, rng: np.random.Generator) -> FacePicture:
    """With a box that is a little off, as a detector's is."""
    x, y, w, h = picture.box
    dx, dy, wider, higher = rng.uniform(-JITTER, JITTER, 4)
    return FacePicture(picture.image, (x + dx * w - wider * w / 2, y + dy * h - higher * h / 2, w * (1 + wider), h * (1 + higher)))


def tensor(pictures: Sequence[FacePicture], crop: LivenessCrop) -> torch.Tensor:
    """(N, 3, size, size) float BGR, 0..255."""
    crops = np.stack([surroundings(picture.image, picture.box, crop)[:, :, ::-1] for picture in pictures])
    return torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32))


def tune(nets: Sequence[LivenessNet], shown: Sequence[Shown], settings: LivenessTraining) -> float:
    """Train each net on the same batches and leave it a share of the way from where it began. Returns the mean loss of the last tenth of the steps.

    The loss is the cross-entropy of the probability of a living face; the two classes of attacks are one here.
    """
    torch.manual_seed(settings.seed)
    sampler, losses = Sampler(shown, settings), list[float]()
    first = [copy.deepcopy(one.net.state_dict()) for one in nets]
    optimisers = [torch.optim.AdamW(one.net.parameters(), settings.learning_rate) for one in nets]
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps) for optimiser in optimisers]
    for _ in range(settings.steps):
        pictures, live = sampler.batch()
        for one, optimiser, schedule in zip(nets, optimisers, schedules, strict=True):
            logits = one.net(tensor(pictures, one.crop))  # (N, 3)
            others = torch.logsumexp(logits[:, [n for n in range(logits.shape[1]) if n != LIVE]], 1)  # (N,)
            loss = F.binary_cross_entropy_with_logits(logits[:, LIVE] - others, live)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(one.net.parameters(), CLIP_NORM)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
    for one, state in zip(nets, first, strict=True):
        one.net.load_state_dict(between(state, one.net.state_dict(), settings.share))
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


def between(first: dict[str, torch.Tensor], tuned: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """The weights a share of the way from the first to the tuned ones."""
    return {key: torch.lerp(value, tuned[key], share) if value.is_floating_point() else value for key, value in first.items()}


def scores(nets: Sequence[LivenessNet], pictures: Sequence[FacePicture]) -> NDArray[np.float64]:
    """(N,) mean probability of a living face."""
    with torch.inference_mode():
        found = [torch.softmax(one.net(tensor(pictures, one.crop)), 1)[:, LIVE].double().numpy() for one in nets]
    return np.asarray(np.mean(found, axis=0))


def measured(nets: Sequence[LivenessNet], shown: Sequence[Shown]) -> dict[str, NDArray[np.float64]]:
    """Name of each recording -> scores of its pictures."""
    return {one.file.name: scores(nets, one.pictures) for one in shown}


def report(shown: Sequence[Shown], before: dict[str, NDArray[np.float64]], after: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Medians of each recording and the equal error rate by pictures, before and after."""
    rows = []
    for one in shown:
        medians = {when: round(median(found[one.file.name].tolist()), 4) for when, found in (("before", before), ("after", after))}
        rows.append({"file": one.file.name, "species": one.file.species, "source": one.source, "pictures": len(one.pictures), **medians})
    return {"recordings": rows, "eer": {when: _eer(shown, found) for when, found in (("before", before), ("after", after))}}


def _eer(shown: Sequence[Shown], found: dict[str, NDArray[np.float64]]) -> float | None:
    by_kind = [[score for one in shown if one.file.attack == attack for score in found[one.file.name].tolist()] for attack in (True, False)]
    return equal_error_rate(*by_kind)


def each_source(given: Sequence[str], shown: Sequence[Shown], settings: LivenessTraining) -> dict[str, NDArray[np.float64]]:
    """Scores of every recording by nets that were trained without its source."""
    found: dict[str, NDArray[np.float64]] = {}
    for source in sorted({one.source for one in shown}):
        nets = open_nets(given)
        tune(nets, [one for one in shown if one.source != source], settings)
        found |= measured(nets, [one for one in shown if one.source == source])
        print(f"without {source}: done", flush=True)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="sub-folders `real` and one for each species of attack")
    parser.add_argument("--table", type=Path, help="tab-separated file, species, source: instead of sub-folders")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tuned weights and the report")
    parser.add_argument("--test", type=Path, help="another folder in the same form that is measured and not trained on")
    parser.add_argument("--test-table", type=Path, help="the table of that folder")
    parser.add_argument("--init", nargs="+", default=list(INIT), metavar="WEIGHTS:SCALE", help="weights to start from, each with the scale of its crop")
    parser.add_argument("--each-source", action="store_true", help="train once more without each source and report how it is judged")
    parser.add_argument("--steps", type=arguments.count, default=LivenessTraining.steps)
    parser.add_argument("--batch", type=arguments.count, default=LivenessTraining.batch)
    parser.add_argument("--learning-rate", type=arguments.number(0), default=LivenessTraining.learning_rate)
    parser.add_argument("--made", type=arguments.number(0, 1), default=LivenessTraining.made, help="share of attacks made from living faces, 0 to 1")
    parser.add_argument("--share", type=arguments.number(0, 1), default=LivenessTraining.share, help="share of the way from the old weights to the tuned ones")
    parser.add_argument("--threads", type=arguments.count, default=1)


def run(args: argparse.Namespace) -> int:
    settings = LivenessTraining(args.steps, args.batch, args.learning_rate, args.made, args.share)
    torch.set_num_threads(args.threads)
    shown = read(args.folder, args.table, MIN_CONTEXT)
    tested = read(args.test, args.test_table, MIN_CONTEXT) if args.test else []
    published, nets = open_nets(args.init), open_nets(args.init)
    found: dict[str, Any] = {"settings": vars(settings)}
    if args.each_source:
        found["each_source"] = report(shown, measured(published, shown), each_source(args.init, shown, settings))
    found["loss"] = tune(nets, shown, settings)
    if tested:
        found["test"] = report(tested, measured(published, tested), measured(nets, tested))
    args.out.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(nets):
        torch.save(one.net.state_dict(), args.out / f"net_{number}.pt")
    (args.out / "report.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for part in ("each_source", "test"):
        if part in found:
            _print(part, found[part])
    print(f"{args.out}: {len(nets)} nets and report.json")
    return 0


def _print(title: str, found: dict[str, Any]) -> None:
    print(f"{title.replace('_', ' ')}: median score before and after, 1 a living face")
    for row in found["recordings"]:
        print(f"  {row['species']:<24} {row['file']:<32} {row['pictures']:>4} pictures  {row['before']:6.3f} {row['after']:6.3f}")
    print("  equal error rate by pictures " + ", ".join(f"{when} {rate:.3f}" for when, rate in found["eer"].items() if rate is not None))
