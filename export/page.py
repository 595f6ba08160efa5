"""The model card as one HTML page with pictures; everything on it comes from the card, and it loads nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from device.contract import LivenessCard, ModelCard, OperatingPoint
from export import liveness_card, pictures
from export.calibrate import interval
from export.pictures import entry

CSS = """
:root { --ink: #1d2733; --soft: #5b6673; --line: #d9dee3; --paper: #f6f7f8; --accent: #2a7f62; --warn: #8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 2rem; letter-spacing: -0.01em; }
h2 { margin: 40px 0 12px; font-size: 1.2rem; }
.about { color: var(--soft); margin: 4px 0 20px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 12px; }
.tile, figure, .table, dl { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 0.85rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; padding: 14px 16px 8px; }
figcaption { font-weight: 600; margin-bottom: 6px; }
figure svg { width: 100%; height: auto; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 14px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); font-size: 0.85rem; }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
.extrapolated { color: var(--warn); }
.none { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; padding: 14px 16px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 560px) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 8px; } }
"""


def page(card: ModelCard) -> str:
    """The page of an embedder as HTML."""
    about = f"{card.precision}, {card.embedding_size}-D, {card.crop_size} x {card.crop_size} {card.colour_order}; weights {card.model_id[:12]}"
    sections = {"Thresholds": _thresholds(card), "Latency, one crop": _latency(card), "Where it comes from": _origin(card)}
    return _document(card.name, about, _tiles(card) + _pictures(card), sections)


def liveness_page(card: LivenessCard) -> str:
    """The page of a liveness model as HTML."""
    about = f"{card.precision}; weights {card.model_id[:12]}"
    rates = [_table(("", "share and 95 % interval"), _escaped(liveness_card.rows(found))) + _measured_on(found) for found in card.measured]
    drawn = [f"<figure><figcaption>Detection error trade-off</figcaption>{liveness_card.trade_off(found)}</figure>" for found in card.measured]
    facts = _listed({**liveness_card.facts(card), "model id": card.model_id})
    return _document(card.name, about, "", {"Error rates": "".join(rates + drawn) or "<p>None yet.</p>", "How it judges, and where it comes from": facts})


def _measured_on(found: dict[str, Any]) -> str:
    words = f"{found['data']}; {found['command']}. No promise for another place: docs/liveness.md says how a site makes its own trial."
    return f"<p class=about>{escape(words)}</p>"


def _escaped(found: Iterable[Iterable[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in found]


def _document(title: str, about: str, begin: str, sections: dict[str, str]) -> str:
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="about">{escape(about)}</p>', begin, *(f"<h2>{name}</h2>{text}" for name, text in sections.items())]
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{view}<title>{escape(title)}</title><style>{CSS}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main></body></html>\n'


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _tiles(card: ModelCard) -> str:
    tiles = []
    if found := entry(card, "pairs"):
        tiles.append((percent(found["accuracy_mean"]), f"accuracy, {found['pairs']:,} pairs of {found['people']} people ({found['data']})"))
        tiles.append((percent(found["eer"]), "equal error rate"))
        tar = found["tar_at_far"].get("0.001")
        if tar:
            tiles.append((f"{100 * tar['value']:.1f} %", f"TAR at FAR 0.1 % ({100 * tar['low']:.1f} to {100 * tar['high']:.1f})"))
    if (found := entry(card, "agreement")) and "mean_cosine" in found:
        tiles.append((f"{found['mean_cosine']:.4f}", f"mean cosine to {found['reference']}, lowest {found['lowest_cosine']:.4f}"))
    if found := entry(card, "visits"):
        about = f"visits of {found['crops']} pictures, {found['people']} people with {found['templates']} templates ({found['data']})"
        tiles.insert(0, (f"{100 * found['fnir']['value']:.1f} %", f"FNIR per visit ({_span(found['fnir'])}): {about}"))
        words = f"FPIR per visit ({_span(found['fpir'])}), threshold for {100 * found['fpir_target']:g} %"
        tiles.insert(1, (f"{100 * found['fpir']['value']:.1f} %", words))
    if found := entry(card, "device"):
        about = f"{found['people']} people with one photo each ({found['data']}), threshold for FPIR {100 * found['target_fpir']:g} %"
        tiles.append((f"{100 * found['fnir']['value']:.1f} %", f"FNIR ({_span(found['fnir'])}), the whole device: {about}"))
        tiles.append((f"{100 * found['fpir']['value']:.1f} %", f"FPIR ({_span(found['fpir'])}), {found['fpir']['searches']:,} photos of strangers"))
    if found := entry(card, "groups"):
        tiles.append((f"{found['worst_to_mean']:.2f} ×", "false matches of the worst group, relative to the mean"))
    if found := entry(card, "non_mated"):
        spread = f"mean {found['mean']:.3f}, deviation {found['deviation']:.3f}"
        tiles.append((f"{found['largest']:.3f}", f"highest of {found['comparisons']:,} non-mated scores ({spread})"))
    if not tiles:
        return "<p>Nothing has been measured yet: run <code>python -m export verify</code> and <code>calibrate</code>.</p>"
    return f'<div class="tiles">{"".join(f"<div class=tile><b>{escape(value)}</b><span>{escape(label)}</span></div>" for value, label in tiles)}</div>'


def _span(rate: dict[str, float]) -> str:
    return f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}"


def _pictures(card: ModelCard) -> str:
    drawn = (
        ("Detection error trade-off", pictures.det(card)),
        ("Scores", pictures.histogram(card)),
        ("Misses by gallery size, at this card's thresholds", pictures.fnir(card)),
        ("False matches by group, best to worst", pictures.groups(card)),
    )
    figures = [f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>" for caption, svg in drawn if svg is not None]
    return f'<h2>Pictures</h2><div class="pictures">{"".join(figures)}</div>' if figures else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><tr>{"".join(f"<th>{escape(cell)}</th>" for cell in head)}</tr>{body}</table></div>'


def _thresholds(card: ModelCard) -> str:
    if not card.operating_points:
        return "<p>None: run <code>python -m export calibrate</code>. A terminal refuses this model until then.</p>"
    fpirs = sorted({point.fpir for point in card.operating_points}, reverse=True)
    by_place = {(point.gallery_size, point.fpir): point for point in card.operating_points}
    sizes = sorted({point.gallery_size for point in card.operating_points})
    head = ["people", *(f"FPIR {100 * fpir:g} %" for fpir in fpirs)]
    rows = [[f"{size:,}", *(_threshold(by_place.get((size, fpir))) for fpir in fpirs)] for size in sizes]
    data = sorted({point.data for point in card.operating_points})
    legend = "Threshold, and the 95 % interval of its true FPIR. Amber: extrapolated by a fitted tail, because fewer than ten comparisons lie above it."
    return f"{_table(head, rows)}<p class=about>{legend} Set on {escape('; '.join(data))}.</p>"


def _threshold(point: OperatingPoint | None) -> str:
    if point is None or point.threshold is None:
        return '<span class="none">insufficient data</span>'
    real = f" ({interval(point.fpir_low, point.fpir_high)})" if point.fpir_low is not None and point.fpir_high is not None else ""
    mark = ' class="extrapolated"' if point.method == "extrapolated" else ""
    return f"<span{mark}><b>{point.threshold:.3f}</b>{real}</span>"


def _latency(card: ModelCard) -> str:
    if not card.latency:
        return "<p>Not measured yet: run <code>python -m export verify</code>.</p>"
    head = ("host", "threads", "p50 ms", "p95 ms", "runtime")
    return _table(head, [_latency_row(found) for found in card.latency])


def _latency_row(found: dict[str, Any]) -> list[str]:
    host = f"{found['cpu']}, {found['cores']} cores ({' '.join(found['flags'])})"
    return [escape(host), str(found["threads"]), f"{found['p50_ms']:.2f}", f"{found['p95_ms']:.2f}", escape(found["runtime"])]


def _origin(card: ModelCard) -> str:
    rows = {"training data": card.training_data, "licence": card.licence, "training commit": card.training_commit, "model id": card.model_id}
    return _listed(rows)


def _listed(rows: dict[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(key)}</dt><dd>{escape(value)}</dd>' for key, value in rows.items())}</dl>"
