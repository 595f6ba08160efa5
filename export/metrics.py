"""The accuracy figures of a model card: on pairs, in searches and by group, as plain JSON values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from training.embedding import Embed, Embeddings
from training.evaluate import evaluate_groups, evaluate_pairs, evaluate_search
from training.metrics import ComparisonScores
from training.pairs import Pairs

GALLERIES = (10, 50, 100, 150)  # gallery sizes of the searches, in people of the verification set
BINS = 80  # in the score histograms
EDGES = (-0.6, 1.0)  # lowest and highest score in the histograms
POINTS = 60  # on the DET curve


def of_pairs(embed: Embed, data: Pairs, name: str) -> tuple[list[dict[str, Any]], ComparisonScores, Embeddings]:
    """Card entries measured on pairs, the scores of the pairs and the embeddings of their crops.

    Args:
        embed: the model.
        data: the verification set.
        name: the name of the set for the card.
    """
    report, scores, rows = evaluate_pairs(embed, data)
    people = np.unique([label.rsplit("_", 1)[0] for label in data.names], return_inverse=True)[1]
    figures = {key: value for key, value in report.items() if key != "ms_per_crop"}
    entries = [{"measure": "pairs", "data": name, "people": int(people.max()) + 1, **figures}]
    found = evaluate_search(rows, people, GALLERIES) if len(np.unique(people)) < len(people) else []
    entries += [{"measure": "search", "data": name, **dataclasses.asdict(one)} for one in found]
    return [*entries, _curve(scores, name), _histogram(scores, name)], scores, rows


def of_groups(embed: Embed, folder: Path, scores: ComparisonScores) -> dict[str, Any]:
    """False matches by group, at the threshold for FAR 1e-2 on the pairs."""
    return {"measure": "groups", "data": folder.name, "far": 1e-2, **evaluate_groups(embed, folder, scores.threshold_at(1e-2))}


def _curve(scores: ComparisonScores, name: str) -> dict[str, Any]:
    """FRR at POINTS false accept rates, logarithmically spaced down to the lowest that the pairs can resolve, and percentiles of the mated scores."""
    rates = np.geomspace(1.0 / len(scores.non_mated), 0.5, POINTS)
    frr = [1 - scores.tar_at(float(rate)) for rate in rates]
    mated = np.percentile(scores.mated, np.arange(101))
    return {"measure": "det", "data": name, "far": _short(rates), "frr": _short(np.array(frr)), "mated_percentiles": _short(mated)}


def _histogram(scores: ComparisonScores, name: str) -> dict[str, Any]:
    mated, non_mated = (np.histogram(np.clip(values, *EDGES), BINS, EDGES)[0].tolist() for values in (scores.mated, scores.non_mated))
    return {"measure": "histogram", "data": name, "low": EDGES[0], "high": EDGES[1], "mated": mated, "non_mated": non_mated}


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
