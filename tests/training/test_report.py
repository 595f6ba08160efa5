"""The report of a run: one private file that loads nothing, whose figures are those of a second computation."""

from __future__ import annotations

import base64
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.refused import refused
from tests.training.test_train import SMALL, Tiny
from training import backbones, checkpoint, config, report, run_record
from training.__main__ import main
from training.report import changes, charts, curves, measures
from training.synthetic import draw
from training.train import write_report


class Page(HTMLParser):
    """Text and attributes of a page; every element that is opened must be closed."""

    VOID = {"meta", "img", "line", "circle", "path"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.attributes, self.open = "", [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, validated on five people in two groups; the second has another learning rate."""
    folder = tmp_path_factory.mktemp("runs")
    rows = ["file\tgroup"]
    for person in range(5):
        (folder / "people" / f"<{person}>").mkdir(parents=True)
        for shot in range(4):
            cv2.imwrite(str(folder / "people" / f"<{person}>" / f"{shot}.png"), draw(900 + person, shot))
            rows.append(f"<{person}>/{shot}.png\t{'north' if person < 2 else 'south'}")
    (folder / "people" / "groups.tsv").write_text("\n".join(rows))
    lines = (*SMALL, "backbone.name = 'tiny'", "run.log_steps = 2", f"data.validation = '{folder}/people'")
    backbones.BACKBONES["tiny"] = Tiny
    try:
        for name, rate in (("first", "0.003"), ("second", "0.001")):
            words = [word for line in (*lines, f"optimiser.learning_rate = {rate}") for word in ("--set", line)]
            assert main(["train", "smoke", "--out", str(folder / name), *words]) == 0
        yield folder
    finally:
        del backbones.BACKBONES["tiny"]


def test_a_run_ends_with_a_private_page_that_loads_nothing(runs: Path) -> None:
    path = runs / "second" / "report.html"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    loaded = [value for tag, name, value in page.attributes if name in ("src", "href", "data", "srcset")]
    assert loaded and all(value.startswith("data:image/webp;base64,") for value in loaded)
    assert "url(" not in page.words and "@import" not in page.words
    assert not [tag for tag, *_ in page.attributes if tag in ("script", "link", "iframe")]
    assert any(name == "content" and "default-src 'none'" in value for _, name, value in page.attributes)
    for said in ("faces of your own data", "mode 600", "One person, least alike", "images per second", "<0>/"):
        assert said in page.words, said
    assert "prefers-color-scheme: dark" in page.words


def test_what_changed_is_told(runs: Path) -> None:
    record = run_record.read(runs / "second")
    assert changes.before(runs / "second") == runs / "first"
    assert changes.before(runs / "first") is None
    found = changes.compare(runs / "first", record)
    assert [(line.name, line.before, line.now) for line in found.settings] == [("optimiser.learning_rate", "0.003", "0.001")]
    assert found.same_people
    was, now = (run_record.read(runs / name).figures["d_prime"] for name in ("first", "second"))
    (shown,) = [line for line in found.figures if line.name == "d'"]
    assert (shown.before, shown.now, shown.better) == (f"{was:.3f}", f"{now:.3f}", now > was)
    page = Page((runs / "second" / "report.html").read_text(encoding="utf-8")).words
    assert "optimiser.learning_rate0.0030.001" in page
    reseeded = {**record.recipe, "run": {**record.recipe["run"], "seed": 9}}
    assert not changes.compare(runs / "first", run_record.RunRecord(reseeded, 0.0, "", figures=record.figures)).same_people  # others are held out


def test_figures_are_those_of_a_second_computation(runs: Path) -> None:
    embedder, recipe = checkpoint.load_embedder(runs / "second" / "best.pt")
    files = sorted((runs / "people").glob("*/*.png"))
    crops = np.stack([cv2.imread(str(file))[:, :, ::-1] for file in files])
    with torch.inference_mode():
        rows = embedder.unit(torch.from_numpy(crops)).numpy()
    people = np.array([file.parent.name for file in files])
    pairs = [(float(rows[i] @ rows[j]), people[i] == people[j], i, j) for i in range(20) for j in range(i + 1, 20)]
    found = measures.measure(runs / "second", recipe)
    assert found.people == 5
    assert len(found.scores.mated) == sum(same for _, same, _, _ in pairs) == 30
    lowest, highest = min(pair for pair in pairs if pair[1]), max(pair for pair in pairs if not pair[1])
    assert (found.same_unlike[0].first, found.same_unlike[0].second) == lowest[2:]
    assert (found.others_alike[0].first, found.others_alike[0].second) == highest[2:]
    assert found.others_alike[0].score == pytest.approx(highest[0], abs=1e-5)
    used = [number for pair in found.others_alike for number in (pair.first, pair.second)]
    assert len(used) == len(set(used))
    assert [group.name for group in found.groups] == ["north", "south"]
    north = [pair for pair in pairs if max(pair[2:]) < 8]
    strangers, own = ([score for score, same, *_ in north if same == kind] for kind in (False, True))
    least, most = (found.threshold + change for change in (1e-5, -1e-5))  # one score is the threshold itself
    assert np.mean(np.array(strangers) >= least) - 1e-9 <= found.groups[0].fmr.value <= np.mean(np.array(strangers) >= most) + 1e-9
    assert np.mean(np.array(own) < most) - 1e-9 <= found.groups[0].fnmr.value <= np.mean(np.array(own) < least) + 1e-9


def test_the_pictures_are_the_crops(runs: Path) -> None:
    found = measures.measure(runs / "second", config.from_table(run_record.read(runs / "second").recipe))
    text = (runs / "second" / "report.html").read_text(encoding="utf-8")
    first = base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", text).group(1))
    shown = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(shown.astype(int) - found.crops.crop(found.same_unlike[0].first).astype(int)).mean() < 6


def test_the_log_is_read_as_columns(runs: Path) -> None:
    found = curves.read(runs / "first")
    assert found.steps == list(range(2, 27, 2))
    assert found.validated == [4, 8, 12, 16, 20, 24, 27]
    assert len(found.losses) == len(found.rates) == len(found.speeds) == 13
    best = run_record.read(runs / "first").figures["d_prime"]  # of the checkpoint with the best score, not always with the largest d'
    assert min(abs(value - best) for value in found.figures["d_prime"]) <= 1e-4


def test_what_cannot_be_compared_is_refused(runs: Path, tmp_path: Path) -> None:
    with refused("run", "best.pt"):
        report.write(tmp_path)
    with refused("run", str(tmp_path)):
        report.write(runs / "second", tmp_path)


def test_a_run_stays_complete_where_its_report_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(tmp_path)
    said = capsys.readouterr().err
    assert "the run is complete" in said and f"training report {tmp_path}" in said


@pytest.mark.parametrize("values", [(0.0, 1.0), (3.17, 3.19), (-4, 1e6), (0.93, 0.93), (0.0, 0.0), (1e-5, 2e-5)])
def test_an_axis_holds_its_values_between_round_ticks(values: tuple[float, float]) -> None:
    axis = charts.linear(values)
    assert axis.low <= min(values) and axis.high >= max(values) and 2 <= len(axis.ticks) <= 8
    assert axis.share(axis.low) == 0 and axis.share(axis.high) == pytest.approx(1)
    steps = np.diff(axis.ticks)
    assert np.allclose(steps, steps[0])


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    axis = charts.logarithmic([0.0007, 0.4])
    assert axis.ticks == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1, 1.0))
    assert axis.share(1e-2) == pytest.approx(0.5)


def test_thinned_points_keep_their_mean() -> None:
    x, y = charts.thinned(list(range(1, 1001)), [float(i % 10) for i in range(1000)], 100)
    assert len(x) == 100 and x[-1] == 1000
    assert y == [4.5] * 100
