"""The rule that chooses the default, against rows made by hand; the command on a few real people."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from device.vision.visit_trial import Share
from export.__main__ import main
from export.choose import Candidate, choose
from export.groups import WorstGroup
from tests.refused import refused

MODELS = Path(__file__).resolve().parents[2] / "models"


def few_people(value: float) -> WorstGroup:
    return WorstGroup("few", value, value - 0.5, value + 0.8, 100)


def row(name: str, ms: float, fnir: float, worst: float) -> Candidate:
    """The card's own threshold is far off on purpose: the rule compares at equal FPIR. `worst` is as good as exact."""
    found = (few_people(1.8), WorstGroup("many", worst, worst, worst, 10_000))
    return Candidate(name, ms, "", Share(0.5, 0.4, 0.6, 1800), Share(0.0, 0.0, 0.01, 2000), Share(fnir, 0.0, 1.0, 1800), found)


REFERENCE = row("reference", 13.0, 0.010, 2.4)


def test_the_fastest_within_both_limits_is_chosen() -> None:
    others = [row("slow", 5.0, 0.002, 1.2), row("chosen", 2.0, 0.015, 1.7), row("misses", 1.0, 0.0151, 1.0), row("uneven", 1.5, 0.001, 1.71)]
    chosen, verdicts = choose([REFERENCE, *others])
    assert chosen == 2
    assert [verdict.eligible for verdict in verdicts] == [False, True, True, False, False]
    reasons = [verdict.reason for verdict in verdicts]
    assert "worst group above 1.7 (many)" in reasons[0] and "slower than chosen" in reasons[1] and "fastest" in reasons[2]
    assert "1.50 %" in reasons[3] and "worst" not in reasons[3] and "worst group" in reasons[4] and "%" not in reasons[4]


def test_a_file_that_breaks_both_limits_is_told_both() -> None:
    _, verdicts = choose([REFERENCE, row("edge", 0.9, 0.1, 3.0)])
    assert "1.50 %" in verdicts[1].reason and "worst group" in verdicts[1].reason


def test_an_even_reference_may_be_chosen_itself() -> None:
    assert choose([row("reference", 13.0, 0.010, 1.5), row("uneven", 1.0, 0.010, 2.0)])[0] == 0


def test_without_an_eligible_file_nothing_is_chosen() -> None:
    chosen, verdicts = choose([REFERENCE, row("uneven", 1.0, 0.010, float("nan"))])  # NaN: the groups have no false match to compare
    assert chosen is None and not any(verdict.eligible for verdict in verdicts)


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ((few_people(1.0),), "not shown"),  # its interval reaches above the limit: too few people to show anything
        ((), "not shown"),
        ((few_people(2.3), WorstGroup("many", 1.2, 1.1, 1.3, 9000)), "above 1.7 (few)"),  # shown to be uneven for these, whatever the others say
        ((few_people(2.1), WorstGroup("many", 1.69, 1.68, 1.7, 9000)), ""),
        ((few_people(1.0), WorstGroup("many", 1.69, 1.6, 1.71, 9000)), "not shown"),
    ],
)
def test_the_interval_over_people_decides(groups: tuple[WorstGroup, ...], reason: str) -> None:
    chosen, verdicts = choose([REFERENCE, replace(row("one", 2.0, 0.01, 1.0), worst_groups=groups)])
    assert (chosen == 1) == (reason == "") and reason in verdicts[1].reason and verdicts[1].eligible == (chosen == 1)


def test_a_file_without_a_cohort_is_not_eligible_however_fast() -> None:
    chosen, verdicts = choose([REFERENCE, Candidate("bare", 0.1, "without a cohort"), row("good", 2.0, 0.01, 1.0)])
    assert chosen == 2 and verdicts[1].reason == "without a cohort" and not verdicts[1].eligible


def test_a_reference_that_was_not_measured_is_refused() -> None:
    with refused("choose", "bare", "without a cohort", "--reference"):
        choose([Candidate("bare", 0.1, "without a cohort"), REFERENCE])


@pytest.fixture(scope="module")
def few(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments that name six people, six strangers and the first crops of each group."""
    folder = tmp_path_factory.mktemp("few")
    for person in sorted((shared / "faces/dev").iterdir())[:6]:
        shutil.copytree(person, folder / "people" / person.name)
    for name in ("strangers", "groups"):
        (folder / name).mkdir()
    for photo in sorted((shared / "faces/strangers").iterdir())[:6]:
        shutil.copy(photo, folder / "strangers")
    head, *lines = (shared / "faces/groups/groups.tsv").read_text().splitlines()
    kept = [line for line in lines if int(line.split("\t")[0].split(".")[0][-4:]) < 20]
    for line in kept:
        shutil.copy(shared / "faces/groups" / line.split("\t")[0], folder / "groups")
    (folder / "groups/groups.tsv").write_text("\n".join([head, *kept]) + "\n")
    return [part for name in ("people", "strangers", "groups") for part in (f"--{name}", str(folder / name))]


def test_the_command_measures_and_says_why(few: list[str], float_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [str(MODELS / "clockface-mobile-int8.onnx"), str(float_model)]
    code = main(["table", *models, "--choose", *few, "--rounds", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    first, bare = found["rows"]
    assert code == (found["chosen"] is None)
    assert bare["reason"] == "without visits in its card and a cohort" and bare["equal_fnir"] is None and bare["p50_ms"] > 0
    (worst,) = first["worst_groups"]
    assert not first["eligible"] and "not shown" in first["reason"]  # 20 people of each group show nothing
    assert worst["people"] == "groups" and worst["value"] >= 1 and worst["matches"] > 0 and first["fnir"]["n"] == 60 and first["fpir"]["n"] == 66
    assert first["precision"] == "int8" and first["megabytes"] == pytest.approx(Path(models[0]).stat().st_size / 1e6)


def test_choosing_needs_all_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "x.onnx", "--choose", "--people", str(tmp_path), "--strangers", str(tmp_path)]) == 1
    assert "--groups" in capsys.readouterr().err
