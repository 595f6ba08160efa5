"""The report as one HTML file: styles, charts and pictures are inside it, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import time
from html import escape
from pathlib import Path

import numpy as np

from training.metrics import Interval
from training.report import charts
from training.report.changes import ComparedLine, RunComparison, spent
from training.report.charts import Axis, Series
from training.report.curves import TARS, Curves
from training.report.measures import GROUP_FAR, GroupFigures, Pair, RunMeasures, picture
from training.run_record import DONE, RunRecord

STYLE = Path(__file__).with_name("page.css")
SCORES = Axis(-0.6, 1.0, (-0.5, 0.0, 0.5, 1.0))
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(name: str, record: RunRecord, curves: Curves, measured: RunMeasures, changes: RunComparison | None) -> str:
    sections = [
        _section("Course of the run", _course(record, curves)),
        _section("On people who were not trained on", _verify(measured)),
        _section("Groups", _groups(measured)) if measured.groups else "",
        _section("What went most wrong", _worst(measured)),
        _section("Speed", _speed(record, curves)),
        _section("Against the run before", _changes(changes)),
        _section("How to go on", _go_on(name, record)),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
    head += f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{escape(name)} - training report</title>'
    style = f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
    return f'<!doctype html><html lang="en"><head>{head}{style}</head><body><main>{_top(name, record, measured)}{"".join(sections)}</main></body></html>'


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"


def _top(name: str, record: RunRecord, measured: RunMeasures) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.changed))
    facts = f"{name} · recipe {record.recipe['name']} · {record.recipe['backbone']['name']}, {record.recipe['backbone']['embedding_size']} values · {when}"
    tar = measured.tar[1e-3] or measured.tar[1e-2]
    far = "1e-3" if measured.tar[1e-3] else "1e-2"
    tiles = [
        _tile(f"TAR at FAR {far}", _percent(tar.value) if tar else "-", f"{_percent(tar.low)} to {_percent(tar.high)}" if tar else "too few pairs"),
        _tile("Equal error rate", _percent(measured.scores.equal_error_rate()), f"d' {measured.scores.d_prime():.2f}"),
        _tile("Best at step", f"{record.best_step:,}", f"of {record.step:,}"),
        _tile("Trained", spent(record.seconds), f"{record.images:,} images, {record.images / max(record.seconds, 1e-9):,.0f} per second"),
    ]
    part = f"{100 * record.progress:.0f} % of it is done, and it is {record.state}"
    state = "" if record.state == DONE else f'<p class="note"><b>This run is not complete:</b> {part}.</p>'
    title = f'<header><p class="eyebrow">Training report</p><h1>{escape(Path(name).resolve().name)}</h1><p class="facts">{escape(facts)}</p></header>'
    return f'{title}{state}<div class="tiles">{"".join(tiles)}</div>'


def _tile(title: str, value: str, below: str) -> str:
    return f'<div class="tile"><span>{escape(title)}</span><b>{escape(value)}</b><small>{escape(below)}</small></div>'


def _percent(value: float, decimals: int = 1) -> str:
    return f"{100 * value:.{decimals}f} %"


def _course(record: RunRecord, curves: Curves) -> str:
    parts = []
    if len(curves.steps) > 1:
        x, y = charts.thinned(curves.steps, curves.losses)
        lines = [Series("loss", x, y, 1, faint=True), Series("loss, smoothed", x, charts.smoothed(y, 0.9 if len(y) > 50 else 0.5), 1)]
        parts.append(charts.line_chart("Loss", lines, "step", charts.linear(y), marked=record.best_step))
        x, y = charts.thinned(curves.steps, curves.rates)
        parts.append(charts.line_chart("Learning rate", [Series("rate", x, y, 4)], "step", charts.linear(y, at_zero=True)))
    if len(curves.validated) > 1:
        tars = [Series(f"FAR {far}", curves.validated, curves.figures[key], i) for i, (far, key) in enumerate(TARS.items(), 1)]
        values = [value for one in tars for value in one.y]
        parts.append(charts.line_chart("Validation: TAR", tars, "step", charts.linear(values), marked=record.best_step))
        deep = curves.figures["d_prime"]
        parts.append(charts.line_chart("Validation: d'", [Series("d'", curves.validated, deep, 2)], "step", charts.linear(deep), marked=record.best_step))
    if not parts:
        return "<p>The run was too short for a curve: fewer than two rows of the log (<code>run.log_steps</code>) and two validations.</p>"
    return f'<div class="charts">{"".join(parts)}</div><p class="small">The dashed line is the step of the best checkpoint.</p>'


def _verify(measured: RunMeasures) -> str:
    scores = measured.scores
    rows = "".join(_tar_row(far, found) for far, found in measured.tar.items())
    told = f"{measured.people:,} people, {len(scores.mated):,} pairs of the same person, {len(scores.non_mated):,} of two people."
    table = f'<table><thead><tr><th>FAR</th><th>TAR</th><th>95 % interval</th></tr></thead><tbody>{rows}</tbody></table>'
    line = f'<p class="small">The dashed line is the threshold at FAR {_far(GROUP_FAR)}, {measured.threshold:.3f}.</p>'
    meaning = "TAR is the share of the former that is accepted where a share FAR of the latter is."
    return f'<p>{told} {meaning}</p><div class="charts">{_histogram(measured)}{_det(measured)}</div>{line}{table}'


def _tar_row(far: float, found: Interval | None) -> str:
    if found is None:
        return f'<tr><td>{_far(far)}</td><td colspan="2">insufficient data: fewer than 3 pairs of two people could be accepted</td></tr>'
    return f"<tr><td>{_far(far)}</td><td>{_percent(found.value, 2)}</td><td>{_percent(found.low)} to {_percent(found.high)}</td></tr>"


def _far(far: float) -> str:
    """0.001 -> "1e-3"."""
    return f"{far:.0e}".replace("e-0", "e-")


def _histogram(measured: RunMeasures) -> str:
    edges = np.linspace(-0.6, 1.0, 65)
    middle = ((edges[1:] + edges[:-1]) / 2).tolist()
    both = [("two people", measured.scores.non_mated, 2), ("same person", measured.scores.mated, 1)]
    lines = [Series(name, middle, (np.histogram(values, edges)[0] / len(values)).tolist(), colour, filled=True) for name, values, colour in both]
    y = charts.linear([value for one in lines for value in one.y], at_zero=True)
    return charts.line_chart("Scores", lines, "score (cosine)", y, SCORES, marked=measured.threshold)


def _det(measured: RunMeasures) -> str:
    _, far, frr = measured.scores.det()
    shown = np.flatnonzero((far > 0) & (frr > 0))
    if len(shown) < 2:
        return "<p>No score of two people is above one of the same person: there is no error to draw a curve of.</p>"
    shown = shown[np.unique(np.linspace(0, len(shown) - 1, 300).astype(int))]
    x, y = far[shown].tolist(), frr[shown].tolist()
    return charts.line_chart("DET: false rejections over false acceptances", [Series("FRR", x, y, 3)], "FAR", charts.logarithmic(y), charts.logarithmic(x))


def _groups(measured: RunMeasures) -> str:
    worst = max(group.fmr.value for group in measured.groups)
    mean = sum(group.fmr.value for group in measured.groups) / len(measured.groups)
    ratio = f"The worst group has {worst / mean:.1f} times the mean." if mean else "No group has a false match."
    told = f"The threshold is that of all people at FAR {_far(GROUP_FAR)}. {ratio}"
    matches = charts.bars([(_named(group), group.fmr.value, group.fmr.low, group.fmr.high) for group in measured.groups], "%")
    missed = charts.bars([(_named(group), group.fnmr.value, group.fnmr.low, group.fnmr.high) for group in measured.groups if group.fnmr], "%")
    second = f"<h3>False rejections of the same person</h3>{missed}" if any(group.fnmr for group in measured.groups) else ""
    return f"<p>{told} Lines are 95 % intervals.</p><h3>False matches between people of the group</h3>{matches}{second}"


def _named(group: GroupFigures) -> str:
    return f"{group.name} ({group.crops:,})"


def _worst(measured: RunMeasures) -> str:
    told = "These are faces of your own data. This file can be read by its owner only (mode 600): do not pass it on, and delete it with the data."
    unlike = "".join(_pair(measured, pair) for pair in measured.same_unlike)
    alike = "".join(_pair(measured, pair) for pair in measured.others_alike)
    first = '<h3>One person, least alike</h3><p class="small">Look for wrong labels, bad alignment and hidden faces.</p>'
    second = '<h3>Two people, most alike</h3><p class="small">Look for one person under two names.</p>'
    return f'<p class="note">{told}</p>{first}<div class="pairs">{unlike}</div>{second}<div class="pairs">{alike}</div>'


def _pair(measured: RunMeasures, pair: Pair) -> str:
    names = [measured.crops.name(number) for number in (pair.first, pair.second)]
    shown = "".join(
        f'<img alt="" width="112" height="112" src="data:image/webp;base64,{base64.b64encode(picture(measured.crops, number)).decode()}">'
        for number in (pair.first, pair.second)
    )
    captions = "".join(f'<span title="{escape(name)}">{escape("/".join(Path(name).parts[-2:]))}</span>' for name in names)
    return f'<div class="pair"><div class="faces">{shown}</div><b>{pair.score:.3f}</b><div class="names">{captions}</div></div>'


def _speed(record: RunRecord, curves: Curves) -> str:
    speeds = [(step, speed) for step, speed in zip(curves.steps, curves.speeds, strict=True) if speed > 0]
    rate = record.images / max(record.seconds, 1e-9)
    batch = record.recipe["schedule"]["batch_size"] * record.processes
    processes = f"{record.processes} process{'es' * (record.processes > 1)}, batches of {batch}"
    told = f"{record.images:,} images in {spent(record.seconds)}: {rate:,.0f} per second, with validations and checkpoints; {processes}. "
    told += f"{record.crops:,} crops of {record.classes:,} identities to train on; {record.corrupted:,} could not be read."
    damaged = "".join(f"<li>{escape(text)}</li>" for text in record.corrupted_names)
    listed = f"<details><summary>What could not be read</summary><ul>{damaged}</ul></details>" if damaged else ""
    if len(speeds) < 2:
        return f"<p>{told}</p>{listed}"
    x, y = charts.thinned([step for step, _ in speeds], [speed for _, speed in speeds])
    chart = charts.line_chart("Images per second", [Series("images per second", x, y, 3)], "step", charts.linear(y, at_zero=True))
    dips = '<p class="small">Each value is a mean since the row of the log before; validations and checkpoints make dips.</p>'
    return f'<p>{told}</p><div class="charts">{chart}</div>{dips}{listed}'


def _changes(changes: RunComparison | None) -> str:
    if changes is None:
        return "<p>There is no earlier run with figures in the same folder. <code>training report RUN --against OTHER</code> compares with any.</p>"
    note = "" if changes.same_people else '<p class="note">The two were measured on different people, so their figures cannot be compared.</p>'
    settings = _table("Setting", changes.settings) if changes.settings else "<p>No setting differs.</p>"
    figures = _table("Figure", changes.figures, changes.same_people)
    return f'<p>Before: <b>{escape(changes.name)}</b>.</p>{note}<div class="charts">{figures}{settings}</div>'


def _table(what: str, lines: list[ComparedLine], judged: bool = False) -> str:
    def mark(line: ComparedLine) -> str:
        return "" if line.better is None or not judged else '<i class="up">better</i>' if line.better else '<i class="down">worse</i>'

    rows = "".join(f"<tr><td>{escape(line.name)}</td><td>{escape(line.before)}</td><td>{escape(line.now)} {mark(line)}</td></tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr><th>{what}</th><th>before</th><th>now</th></tr></thead><tbody>{rows}</tbody></table></div>'


def _go_on(name: str, record: RunRecord) -> str:
    folder = Path(name)
    commands = [
        f"python -m training export-weights {folder / 'best.pt'} {folder / 'weights.pt'}",
        f"python -m training evaluate {folder / 'best.pt'} --pairs pairs.txt --images DIR",
    ]
    if record.state != DONE:
        commands.insert(0, record.go_on)
    detail = f'<p class="small">Curves in detail: <code>tensorboard --logdir {escape(name)}</code>, or log.csv.</p>'
    return f'<div class="wide"><pre>{escape(chr(10).join(commands))}</pre></div>{detail}'


