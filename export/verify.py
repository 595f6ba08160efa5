"""`python -m export verify MODEL --reference FLOAT --pairs pairs.txt --images DIR`: check a model file before it may go to a board.

Measures the file itself: whether it matches its card, how near its embeddings are to the reference's, its accuracy on the verification set compared
with the reference's, size and latency. The figures go into the card. If a limit is broken, the exit code is 1 and the file stays unchanged.
The reference may be the published file that `adopt` read: it gets colour order, mean and std as stated here, otherwise as they stand in the adopted file.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from device.contract import CARD_KEY, ClockfaceError, ModelCard
from device.vision.embedder import Embedder
from export import artefact, foreign, latency, metrics
from export.preprocessing import add_form_arguments, as_published, constants, in_graph, stated
from training import arguments, pairs
from training.embedding import Embed, Embeddings, embed_all, open_model
from training.metrics import ComparisonScores

FAR = 1e-3


class VerifyError(ClockfaceError):
    """A limit is broken, so the model file must not reach a board."""

    code = "verify"


@dataclass(frozen=True)
class VerifyLimits:
    mean_cosine: float = 0.99  # lowest, to the reference, over the crops of the verification set
    tar_loss: float = 0.005  # largest loss of TAR at FAR 1e-3 against the reference
    size_mb: float = 0.0  # largest file; 0 is any


@dataclass(frozen=True)
class Findings:
    """The measurements, as entries for the card."""

    accuracy: tuple[dict[str, Any], ...]
    latency: tuple[dict[str, Any], ...]
    faults: tuple[str, ...]  # one sentence for each broken limit


def verify(
    model: Path, reference: Reference | None, data: pairs.Pairs, name: str, groups: Path | None, limits: VerifyLimits, rounds: int = latency.ROUNDS
) -> Findings:
    """Measure a model file.

    Args:
        model: a file that meets the contract.
        reference: the model it was made from; None only for a float32 model whose agreement was measured by `build` or `adopt`.
        data: the verification set.
        name: the name of the set for the card.
        groups: folder with groups.tsv.
        limits: the limits to check.
        rounds: rounds of the latency measurement.

    Raises:
        ClockfaceError: the file does not load, does not meet the contract, or does not match its card.
    """
    embedder = Embedder(model, "cpu")
    check_identity(model, embedder.card)
    entries, scores, rows = metrics.of_pairs(embedder.embed, data, name)
    faults = []
    if reference is None:
        entries.insert(0, _first_agreement(embedder.card, model))
    else:
        agreement, lost = _compare(reference, data, rows, scores)
        entries.insert(0, agreement)
        if not agreement["mean_cosine"] >= limits.mean_cosine:  # NaN breaks the limit too
            faults.append(f"mean cosine to {reference.name} is {agreement['mean_cosine']:.4f}, at least {limits.mean_cosine} needed")
        if not round(lost, 9) <= limits.tar_loss:  # a difference of two shares of pairs that is just the limit may exceed it by 1e-17
            faults.append(f"TAR at FAR {FAR:g} is {100 * lost:.2f} points lower than that of {reference.name}, at most {100 * limits.tar_loss:g} allowed")
    size = model.stat().st_size / 1e6
    if limits.size_mb and size > limits.size_mb:
        faults.append(f"the file has {size:.2f} MB, at most {limits.size_mb:g} allowed")
    if groups is not None:
        entries.append(metrics.of_groups(embedder.embed, groups, scores))
    times = [latency.entry(latency.measure([model], data.crops[:64], threads, rounds)[0], threads) for threads in sorted({1, os.cpu_count() or 1})]
    return Findings(tuple(entries), tuple(times), tuple(faults))


def check_identity(path: Path, card: ModelCard) -> None:
    """Check that the weights are those that the card names.

    Raises:
        VerifyError: the file holds other weights.
    """
    if (got := artefact.model_id(artefact.read(path))) != card.model_id:
        raise VerifyError(f"{path}: the card names the weights {card.model_id[:12]}..., the file holds {got[:12]}...; build it again")


@dataclass(frozen=True)
class Reference:
    """The model that a file was made from, as an embedder."""

    name: str  # of its file
    embed: Embed


def open_reference(args: argparse.Namespace) -> Reference | None:
    """What `--reference` names: a checkpoint, a float32 file under the contract, or a model as it was published."""
    path: Path | None = args.reference
    if path is None:
        return None
    if path.suffix != ".onnx":
        return Reference(path.name, open_model(path))
    original = artefact.read(path)
    if all(entry.key != CARD_KEY for entry in original.metadata_props):
        return Reference(path.name, _published(original, args))
    embedder = Embedder(path, "cpu")
    if embedder.card.precision != "float32":
        raise VerifyError(f"{path} is {embedder.card.precision}; the reference must be float32")
    return Reference(path.name, embedder.embed)


def _published(original: onnx.ModelProto, args: argparse.Namespace) -> Embed:
    adopted = artefact.read(args.model)
    form = stated(args, in_graph(adopted))
    embed = as_published(foreign.tidied(original, args.output), form, constants(adopted).get("centre"))
    print(f"{args.reference.name} has no card: taken as published, with {form.as_text()}")
    return lambda crops: np.asarray(embed(crops), np.float32)


def _compare(reference: Reference, data: pairs.Pairs, rows: Embeddings, scores: ComparisonScores) -> tuple[dict[str, Any], float]:
    """The card's entry on agreement, and by how much TAR at FAR is lower than the reference's."""
    expected, _ = embed_all(reference.embed, data.crops)
    if expected.shape != rows.shape:
        raise VerifyError(f"{reference.name} has {expected.shape[1]}-D embeddings, the model file {rows.shape[1]}-D; give the model it was made from")
    cosines = np.sum(rows * expected, axis=1)
    theirs = np.sum(expected[data.first] * expected[data.second], axis=1)
    before = ComparisonScores(theirs[data.same], theirs[~data.same]).tar_at(FAR)
    lost = before - scores.tar_at(FAR)
    entry = {"measure": "agreement", "reference": reference.name, "crops": len(rows)}
    found = {"mean_cosine": float(cosines.mean()), "lowest_cosine": float(cosines.min())}
    return {**entry, **found, "tar_at_far": FAR, "reference_tar": before, "tar_loss": lost}, lost


def _first_agreement(card: ModelCard, path: Path) -> dict[str, Any]:
    """The agreement that `build` or `adopt` measured when it wrote the file."""
    found = [entry for entry in card.accuracy if entry.get("measure") == "agreement"]
    if card.precision != "float32" or not found:
        raise VerifyError(f"{path} ({card.precision}): its agreement with the model it was made from is unknown; give that model with --reference")
    return found[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path)
    parser.add_argument("--reference", type=Path, help="model it was made from: .pt, float32 .onnx, or the published file that was adopted")
    parser.add_argument("--pairs", type=Path, help="pairs.txt in LFW's format")
    parser.add_argument("--images", type=Path, help="folder of the crops named in --pairs")
    parser.add_argument("--people", type=Path, metavar="DIR", help="instead of --pairs: crops with one sub-folder per person, all their pairs")
    add_form_arguments(parser, "of a published reference; default: as the model file has it, otherwise ")
    parser.add_argument("--groups", type=Path, help="folder with groups.tsv, to measure false matches by group")
    parser.add_argument("--data", default="", help="name of the set for the card (default: that of its folder)")
    parser.add_argument("--mean-cosine", type=arguments.number(-1, 1), default=VerifyLimits.mean_cosine, help="lowest mean cosine to the reference")
    parser.add_argument("--tar-loss", type=arguments.number(0, 1), default=VerifyLimits.tar_loss, help="largest loss of TAR at FAR 1e-3")
    parser.add_argument("--size-mb", type=arguments.number(0), default=VerifyLimits.size_mb, help="largest file size; 0: any")


def run(args: argparse.Namespace) -> int:
    limits = VerifyLimits(args.mean_cosine, args.tar_loss, args.size_mb)
    if bool(args.pairs) == bool(args.people) or bool(args.pairs) != bool(args.images):
        raise VerifyError("give either --pairs with --images, or --people")
    reference = open_reference(args)
    data = pairs.from_people(args.people) if args.people else pairs.from_text(args.pairs, args.images)
    findings = verify(args.model, reference, data, args.data or (args.people or args.images).resolve().name, args.groups, limits)
    print("\n".join(as_text(findings)))
    if findings.faults:
        raise VerifyError(f"{args.model} fails and was not changed: {'; '.join(findings.faults)}")
    card = Embedder(args.model, "cpu").card
    kept = tuple(entry for entry in card.accuracy if entry.get("measure") in ("non_mated", "device"))  # of `calibrate` and `search`
    artefact.write_card(args.model, dataclasses.replace(card, accuracy=findings.accuracy + kept, latency=findings.latency))
    print(f"{args.model}: passed; the figures are in its card")
    return 0


def as_text(findings: Findings) -> list[str]:
    """The findings as lines of text."""
    by_measure = {entry["measure"]: entry for entry in findings.accuracy}
    lines = []
    if "mean_cosine" in by_measure["agreement"]:
        found = by_measure["agreement"]
        lines.append(f"cosine to {found['reference']}: mean {found['mean_cosine']:.5f}, lowest {found['lowest_cosine']:.5f} over {found['crops']} crops")
        lines.append(f"TAR at FAR {FAR:g}: {100 * (found['reference_tar'] - found['tar_loss']):.2f} %, the reference's {100 * found['reference_tar']:.2f} %")
    pairs_entry = by_measure["pairs"]
    lines.append(f"accuracy {100 * pairs_entry['accuracy_mean']:.2f} % +- {100 * pairs_entry['accuracy_std']:.2f}, EER {100 * pairs_entry['eer']:.2f} %")
    if "groups" in by_measure:
        lines.append(f"worst group in false matches: {by_measure['groups']['worst_to_mean']:.2f} times the mean")
    for time in findings.latency:
        about = f"{time['cpu']}, {' '.join(time['flags'])}, {time['runtime']}"
        lines.append(f"{time['threads']} thread(s): p50 {time['p50_ms']:.2f} ms, p95 {time['p95_ms']:.2f} ms ({about})")
    return lines
