"""`python -m export card MODEL`: print the card inside a model file; `--html FILE` writes it as one page with pictures.

Everything shown was measured by `verify`, `calibrate`, `search` and `latency`, or by `device liveness-trial`, and is stored in the file; the page
shows no faces. `--trial FILE --data WORDS` writes the figures of such a trial, with its threshold, into the card of a liveness model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from device.contract import LivenessCard, ModelCard
from export import artefact, liveness_card, search
from export.calibrate import as_text
from export.page import liveness_page, page, percent
from export.pictures import entry, misses
from training import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path)
    parser.add_argument("--html", type=arguments.file, metavar="FILE", help="write the page")
    parser.add_argument("--trial", type=Path, metavar="FILE", help="write the figures of `liveness-trial --json` into the card")
    parser.add_argument("--data", metavar="WORDS", help="what was presented in that trial")
    parser.add_argument("--json", action="store_true", help="print the card as it stands in the file")


def run(args: argparse.Namespace) -> int:
    if (args.trial is None) != (args.data is None):
        print("usage: card MODEL --trial FILE --data WORDS: say what was presented in the trial", file=sys.stderr)
        return 2
    liveness = liveness_card.card_in(artefact.read(args.model))
    if args.trial is not None:
        liveness = liveness_card.write_trial(args.model, args.trial, args.data)
    shown, text, html = _liveness(liveness) if liveness else _embedder(artefact.card_of(artefact.read(args.model), args.model))
    print(json.dumps(json.loads(text), indent=1) if args.json else "\n".join(shown))
    if args.html is not None:
        write_page(html, args.html)
    return 0


def _embedder(card: ModelCard) -> tuple[list[str], str, str]:
    return lines(card), card.to_json(), page(card)


def _liveness(card: LivenessCard) -> tuple[list[str], str, str]:
    return liveness_card.lines(card), card.to_json(), liveness_page(card)


def write_page(html: str, target: Path) -> None:
    """Write the page atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_text(html, encoding="utf-8")
    os.replace(part, target)


def lines(card: ModelCard) -> list[str]:
    """The card as lines of text."""
    shown = [f"{card.name}  {card.precision}, {card.embedding_size}-D, {card.model_id[:12]}"]
    shown += [f"trained on   {card.training_data}", f"licence      {card.licence}", f"commit       {card.training_commit}"]
    if (found := entry(card, "agreement")) and "mean_cosine" in found:
        shown.append(f"agreement    mean cosine {found['mean_cosine']:.5f} to {found['reference']}, lowest {found['lowest_cosine']:.5f}")
    if found := entry(card, "pairs"):
        tar = ", ".join(f"{far}: {100 * t['value']:.1f} %" for far, t in found["tar_at_far"].items() if t)
        shown.append(f"accuracy     {percent(found['accuracy_mean'])} on {found['pairs']} pairs of {found['data']}, EER {percent(found['eer'])}")
        shown.append(f"             TAR at FAR {tar}")
    if found := entry(card, "groups"):
        ranked = sorted(found["fmr"].items(), key=lambda item: item[1])
        rates = f"worst {ranked[-1][0]} {percent(ranked[-1][1])}, best {ranked[0][0]} {percent(ranked[0][1])}"
        shown.append(f"groups       false matches: {rates}; worst to mean {found['worst_to_mean']:.2f}")
    if found := entry(card, "non_mated"):
        shown.append(f"non-mated    mean {found['mean']:.3f}, deviation {found['deviation']:.3f}, largest {found['largest']:.3f} of {found['comparisons']}")
    if found := entry(card, "visits"):
        shown.append(f"visits       {search.visits_text(found)}")
    if found := entry(card, "device"):
        shown.append(f"whole device {search.as_text(found)}")
    shown += [f"latency      {t['threads']} thread(s): p50 {t['p50_ms']:.2f} ms, p95 {t['p95_ms']:.2f} ms, {t['cpu']}, {t['runtime']}" for t in card.latency]
    shown += [f"FNIR         {percent(value)} with {size} people at FPIR 1 %, {method} threshold" for size, value, method in misses(card, 0.01)]
    shown += ["thresholds", *(f"  {as_text(point)}" for point in card.operating_points)] if card.operating_points else ["thresholds   none yet"]
    return shown
