"""One page to look through: every dial with a slider over training, every picture with two sentences, the tables; one file, no network, no library."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from training.visualize.captions import DIALS, PICTURES
from training.visualize.dial import radius
from training.visualize.study import StudyResult, angles
from training.visualize.table import HEADS
from training.visualize.theme import COLOURS, DARK, LIGHT

PARTS = Path(__file__).parent
ONE = 90  # the integer that is length 1 in a dial; 127 is 1.41
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Chapter:
    """A section of the page: its text, the dials of a group of its name, pictures by file name, a table by its heading."""

    name: str
    title: str
    text: str
    pictures: tuple[str, ...]
    table: str = ""


CHAPTERS = (
    Chapter(
        "losses",
        "All losses",
        "A hand points in the mean direction of each class, the ring outside counts the directions, on which alone a cosine score depends. "
        "A narrow spike is easy to recognise.",
        ("panel.png", "training.gif"),
        "Losses, trained without the last classes",
    ),
    Chapter(
        "lambdas",
        "Center loss and its λ",
        "The loss is softmax plus λ times the distance to a trained centre of the class. "
        "The sum runs over the classes of a batch, so λ = 1 weighs ten distances against one cross-entropy.",
        ("center_lambda.png",),
        "Center loss by λ",
    ),
    Chapter(
        "pairs",
        "Pairs: contrastive and Siamese",
        "Both losses compare two images, as a terminal does. "
        "What was trained on a distance is to be compared by that distance: by the cosine the same net looks poor.",
        ("pairs.png",),
        "Losses on pairs",
    ),
    Chapter(
        "triplets",
        "Triplets: α and mining",
        "Ten classes on a circle are at most 36° apart, a squared distance of 0.38. "
        "A larger α cannot be met in two dimensions, a much smaller one is met without narrow classes.",
        ("triplet_dials.png", "triplet_alpha.png", "active_triplets.png"),
        "Triplets by mining and α",
    ),
    Chapter(
        "angle",
        "The angle θ and the margin m",
        "In the last layer an image counts as farther from its class than it is, so the net must bring it nearer. "
        "What differs between the losses is by how much, and where.",
        ("margins.png", "target_logits.png", "ranking.png"),
    ),
    Chapter(
        "nan",
        "Why arccos gives NaN",
        "The derivative of arccos is infinite at ±1, which is where training leads. "
        "A bounded derivative removes that cause; rounding to a cosine above 1 is another.",
        ("nan_steps.png",),
    ),
    Chapter(
        "twice",
        "Softmax twice",
        "A loss that applies softmax to probabilities looks like a mistake, yet with cos / 10 it trains well. "
        "It is the gradient that explains it, not the size of the loss.",
        ("softmax_twice.png",),
    ),
)


def write(out: Path, groups: Mapping[str, Sequence[StudyResult]], tables: Mapping[str, Rows], facts: Mapping[str, Any], others: str | None) -> None:
    """Write `index.html` beside the pictures; `groups` are the dials of a chapter by its name, `others` the name of a further set of images."""
    body = "".join(_chapter(chapter, chapter.name in groups, tables.get(chapter.table), _pictures(chapter, out, others)) for chapter in CHAPTERS)
    contents = "".join(f'<a href="#{chapter.name}">{chapter.title}</a>' for chapter in CHAPTERS)
    about = f"{facts['seeds']} seeds, mean ± standard deviation. TAR at FAR 1 %; held out are the last classes, which no loss has seen."
    page = (PARTS / "page.html").read_text(encoding="utf-8")
    data = json.dumps(_data(groups, facts["nan_limit"], facts["epochs"]), separators=(",", ":")).replace("</", "<\\/")
    parts = {"STYLE": (PARTS / "page.css").read_text(encoding="utf-8"), "SCRIPT": (PARTS / "page.js").read_text(encoding="utf-8")}
    for name, text in {**parts, "CONTENTS": contents, "CHAPTERS": body, "ABOUT": about, "DATA": data}.items():
        page = page.replace(f"<!--{name}-->", text)
    (out / "index.html").write_text(page, encoding="utf-8")


def _pictures(chapter: Chapter, out: Path, others: str | None) -> dict[str, str]:
    """The sentences of the chapter's pictures that were drawn, by file name."""
    said = {name: PICTURES[name] for name in chapter.pictures}
    if chapter.name == "losses" and others is not None:
        said[f"panel-{others}.png"] = f"The same losses on {others}. Classes that look alike overlap, whatever the loss."
    return {name: words for name, words in said.items() if (out / name).is_file()}


def _chapter(chapter: Chapter, dials: bool, rows: Rows | None, pictures: Mapping[str, str]) -> str:
    grid = f'<div class="grid" data-group="{chapter.name}"></div>' if dials else ""
    shown = "".join(_figure(name, words) for name, words in pictures.items())
    return f'<section id="{chapter.name}"><h2>{chapter.title}</h2><p>{chapter.text}</p>{grid}{shown}{_table(rows) if rows else ""}</section>\n'


def _figure(name: str, words: str) -> str:
    both = (("light", LIGHT), ("dark", DARK))
    images = "".join(f'<img class="{kind}" loading="lazy" src="{escape(theme.file(Path(name)).name)}" alt="{escape(words)}">' for kind, theme in both)
    return f'<figure><div class="wide" tabindex="0">{images}</div><figcaption>{escape(words)}</figcaption></figure>'


def _table(rows: Rows) -> str:
    keys = [key for key in rows[0] if key in HEADS]
    head = "".join(f"<th>{escape(HEADS[key])}</th>" for key in keys)
    body = "".join(f"<tr><th>{escape(row['loss'])}</th>{''.join(_cell(row[key]) for key in keys)}</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead><tr><th>loss</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Mapping[str, float] | None) -> str:
    return "<td>NaN</td>" if value is None else f"<td>{value['mean']:.1f} <small>± {value['spread']:.1f}</small></td>"


def _data(groups: Mapping[str, Sequence[StudyResult]], limit: int, epochs: int) -> dict[str, Any]:
    every = [outcome for outcomes in groups.values() for outcome in outcomes]
    steps = sorted({frame.step for outcome in every for frame in outcome.frames if outcome.nan_step is None})
    dials = {name: [_dial(outcome) for outcome in outcomes] for name, outcomes in groups.items()}
    return {"colours": COLOURS, "labels": every[0].labels.tolist(), "one": ONE, "steps": steps, "epoch": limit / epochs, "groups": dials}


def _dial(outcome: StudyResult) -> dict[str, Any]:
    """Points and hands of each snapshot as signed bytes, with what is measured there."""
    points = np.stack([frame.embeddings / radius(frame) for frame in outcome.frames])  # (F, N, 2)
    hands = np.stack([frame.directions for frame in outcome.frames])  # (F, C, 2)
    measured = [[round(value, 3) for value in angles(frame, outcome.labels)] for frame in outcome.frames]
    return {
        "title": outcome.entry.title, "caption": DIALS.get(outcome.entry.title, ""), "nan": outcome.nan_step, "steps": [frame.step for frame in outcome.frames],
        "measured": measured, "points": _bytes(points), "hands": _bytes(hands),
    }  # fmt: skip


def _bytes(values: Any) -> str:
    return base64.b64encode(np.clip(np.rint(values * ONE), -127, 127).astype(np.int8).tobytes()).decode()
