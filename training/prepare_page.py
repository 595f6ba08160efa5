"""A page to look through what `prepare` made: photos of the wrong person, duplicates, what was left out, and the crops of each person.

It refers to the crops beside it and loads nothing else. It is readable by its owner only, as the crops are.
"""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.images import picture
from training.data import decode
from training.duplicates import difference_hash, near_pairs
from training.embedding import BATCH, Embed
from training.mislabelled import mislabelled, own_scores
from training.photos import CropFolder, LabelledPhoto, PhotoSet

MOST_PEOPLE, MOST_CROPS = 200, 12  # shown
MOST_LEFT_OUT, SIDE = 24, 160  # pictures per reason, px
CSS = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6673; --line: #d9dee3; --paper: #f6f7f8; --card: #fff; --warn: #b0563b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa5b1; --line: #333c46; --paper: #14181d; --card: #1c2229; --warn: #e08a6c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 1.8rem; } h2 { margin: 40px 0 4px; font-size: 1.2rem; } h3 { margin: 20px 0 6px; font-size: 1rem; }
p { color: var(--soft); margin: 4px 0 12px; max-width: 75ch; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0; }
.tile, .row { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; } .tile span, figcaption, small { color: var(--soft); font-size: .85rem; }
.row { margin: 12px 0; } .row > b { overflow-wrap: anywhere; }
.crops { display: flex; flex-wrap: wrap; gap: 8px; align-items: end; margin-top: 8px; }
figure { margin: 0; width: 112px; } figcaption { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
img { display: block; width: 112px; height: 112px; object-fit: cover; border-radius: 6px; background: var(--line); }
.doubted img { outline: 3px solid var(--warn); }
.groups { display: flex; flex-wrap: wrap; gap: 8px 28px; margin-top: 4px; }
.side { display: grid; grid-template-columns: repeat(auto-fill, minmax(266px, 1fr)); gap: 12px; } .side .row { margin: 0; }
"""


@dataclass(frozen=True)
class LookThrough:
    """The page and what it asks somebody to check."""

    path: Path
    duplicates: int
    mislabelled: int


@dataclass(frozen=True)
class _Crop:
    photo: LabelledPhoto
    file: Path


def write(folder: CropFolder, photos: PhotoSet, left_out: Mapping[str, str], embed: Embed | None) -> LookThrough:
    """Write `index.html` beside the crops; nothing is deleted.

    Args:
        left_out: photo -> why it has no crop.
        embed: finds photos of the wrong person; None: they are not looked for.
    """
    out = folder.path
    crops = [_Crop(photo, file) for photo in photos.photos if photo.name not in left_out and (file := folder.file(photo)).exists()]
    hashes, embeddings = _read(crops, embed)
    pairs = near_pairs(hashes) if crops else []
    people = np.array([crop.photo.person for crop in crops])
    wrong = mislabelled(embeddings, people) if crops and embeddings is not None else []
    own = own_scores(embeddings, people) if crops and embeddings is not None else np.zeros(len(crops))
    sections = [_head(photos, crops, left_out, len(pairs), len(wrong), embed is not None)]
    sections += [_wrong(crops, wrong, out)] if wrong else []
    sections += [_pairs(crops, pairs, out)] if pairs else []
    sections += [_left_out(photos, left_out)] if left_out else []
    sections += [_people(crops, own, out)]
    path = out / "index.html"
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as page:
        page.write(_document("Crops to look through", sections))
    part.replace(path)
    return LookThrough(path, len(pairs), len(wrong))


def _read(crops: list[_Crop], embed: Embed | None) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Difference hashes (N, 16) and embeddings (N, D) of all crops, a batch at a time."""
    hashes, rows = [], []
    for start in range(0, len(crops), BATCH):
        batch = np.stack([decode(crop.file.read_bytes(), str(crop.file)) for crop in crops[start : start + BATCH]])
        hashes += [difference_hash(crop) for crop in batch]
        rows += [embed(batch)] if embed else []
    return np.array(hashes, np.uint8), np.concatenate(rows) if rows else None


def _document(title: str, sections: Iterable[str]) -> str:
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{view}<title>{escape(title)}</title><style>{CSS}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main><h1>{escape(title)}</h1>{"".join(sections)}</main></body></html>\n'


def _head(photos: PhotoSet, crops: list[_Crop], left_out: Mapping[str, str], pairs: int, wrong: int, searched: bool) -> str:
    people = len({crop.photo.person for crop in crops})
    tried = len(photos.photos) + len(photos.left_out)
    figures = {"photos": tried, "people": people, "crops": len(crops), "left out": len(left_out), "pairs of the same photo": pairs}
    figures |= {"look like another person": wrong} if searched else {}
    tiles = "".join(f'<div class="tile"><b>{count:,}</b><span>{name}</span></div>' for name, count in figures.items())
    hint = "" if searched else " Photos of the wrong person were not looked for; <code>--model</code> finds them."
    return f"<p>To leave a photo out, delete its crop; <code>prepare</code> does not make it again.{hint}</p><div class=tiles>{tiles}</div>"


def _wrong(crops: list[_Crop], wrong: list[tuple[int, str]], out: Path) -> str:
    by_person = defaultdict(list)
    for crop in crops:
        by_person[crop.photo.person].append(crop)
    rows = []
    for index, other in wrong:
        crop = crops[index]
        own = [found for found in by_person[crop.photo.person] if found is not crop]
        groups = [_group("this photo", [crop], out, "doubted"), _group(crop.photo.person, own[:3], out), _group(other, by_person[other][:3], out)]
        rows.append(f"<div class=row><b>{escape(crop.photo.name)}</b><div class=groups>{''.join(groups)}</div></div>")
    words = "Each of these is more alike to another person's photos than to the other photos of its own person."
    return f"<h2>Looks like another person</h2><p>{words}</p>{''.join(rows)}"


def _pairs(crops: list[_Crop], pairs: list[tuple[int, int]], out: Path) -> str:
    rows = []
    for first, second in pairs[:MOST_PEOPLE]:
        apart = crops[first].photo.person != crops[second].photo.person
        words = "the same photo under two people" if apart else f"twice in {crops[first].photo.person}"
        shown = f"<div class=crops>{_picture(crops[first], out)}{_picture(crops[second], out)}</div>"
        rows.append(f'<div class="row{" doubted" if apart else ""}"><b>{escape(words)}</b>{shown}</div>')
    words = f"{_of(len(rows), len(pairs))}A photo that stands twice counts twice, and in two parts of a set it makes figures too good."
    return f"<h2>The same photo</h2><p>{words}</p><div class=side>{''.join(rows)}</div>"


def _left_out(photos: PhotoSet, left_out: Mapping[str, str]) -> str:
    by_name = {photo.name: photo for photo in photos.photos}
    by_reason = defaultdict(list)
    for name, reason in left_out.items():
        by_reason[reason].append(name)
    rows = []
    for reason, names in sorted(by_reason.items(), key=lambda found: -len(found[1])):
        shown = "".join(_thumbnail(name, by_name.get(name)) for name in names[:MOST_LEFT_OUT])
        rows.append(f"<h3>{len(names):,} × {escape(reason)}</h3><div class=crops>{shown}</div>")
    return f"<h2>Left out</h2><p>The first {MOST_LEFT_OUT} of each reason; <code>left_out.tsv</code> has all.</p>{''.join(rows)}"


def _people(crops: list[_Crop], own: NDArray[np.floating], out: Path) -> str:
    by_person = defaultdict(list)
    for index, crop in enumerate(crops):
        by_person[crop.photo.person].append(index)
    order = sorted(by_person, key=lambda person: (float(np.mean(own[by_person[person]])), person))
    rows = []
    for person in order[:MOST_PEOPLE]:
        found = by_person[person]
        score = f", mean score {np.mean(own[found]):.2f}" if own.any() and len(found) > 1 else ""
        more = f"; {MOST_CROPS} of them" if len(found) > MOST_CROPS else ""
        about = f"<b>{escape(person)}</b> <small>{len(found)}{score}{more}</small>"
        rows.append(f"<div class=row>{about}<div class=crops>{_pictures([crops[i] for i in found[:MOST_CROPS]], out)}</div></div>")
    words = " Those whose photos are least alike come first." if own.any() else ""
    return f"<h2>People</h2><p>{_of(len(rows), len(order))}{words}</p>{''.join(rows)}"


def _of(shown: int, all_: int) -> str:
    return f"The first {shown:,} of {all_:,}. " if shown < all_ else ""


def _pictures(crops: Iterable[_Crop], out: Path) -> str:
    return "".join(_picture(crop, out) for crop in crops)


def _group(title: str, crops: Iterable[_Crop], out: Path, kind: str = "") -> str:
    return f'<div class="{kind}"><small>{escape(title)}</small><div class=crops>{_pictures(crops, out)}</div></div>'


def _picture(crop: _Crop, out: Path) -> str:
    source = quote(crop.file.relative_to(out).as_posix())
    name = escape(crop.photo.name, quote=True)
    return f'<figure title="{name}"><img src="{source}" alt="{name}" loading="lazy"><figcaption>{escape(crop.photo.file)}</figcaption></figure>'


def _thumbnail(name: str, photo: LabelledPhoto | None) -> str:
    """A small picture of a photo that was left out, in the page itself; its name alone where it cannot be read."""
    title = escape(name, quote=True)
    caption = f"<figcaption>{escape(name)}</figcaption>"
    try:
        image = picture(photo.read(), name) if photo else None
    except ClockfaceError:
        image = None
    if image is None:
        return f'<figure title="{title}">{caption}</figure>'
    height, width = (max(1, round(side * SIDE / max(image.shape[:2]))) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()).decode()
    return f'<figure title="{title}"><img src="data:image/jpeg;base64,{data}" alt="{title}">{caption}</figure>'
