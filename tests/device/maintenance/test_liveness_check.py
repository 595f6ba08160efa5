"""What the doctor says of liveness: the mode in force, the model, and whether its card lets it be enforced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from device.config import LivenessSettings, Settings
from device.contract import LivenessCard
from device.maintenance import doctor
from device.maintenance.liveness_check import check_liveness
from device.vision import catalogue
from device.vision.liveness import LivenessModel
from tests.refused import refused

RATES = ({"apcer": {"replay-phone": {"value": 0.0}}, "bpcer": {"value": 0.0}},)  # invented: the check asks only whether there are any


@pytest.fixture
def carded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LivenessCard]:
    """Lets the model have another card."""
    shipped = LivenessModel(catalogue.path("liveness")).card

    def change(**fields: object) -> LivenessCard:
        card = replace(shipped, **fields)  # type: ignore[arg-type]
        monkeypatch.setattr(LivenessModel, "__init__", lambda self, path: setattr(self, "card", card))
        return card

    return change


def test_off_and_observe_are_warnings_that_say_what_is_recorded(carded: Callable[..., LivenessCard]) -> None:
    carded(measured=RATES)
    for mode in ("off", "observe"):
        finding = check_liveness(LivenessSettings(mode=mode))
        assert finding.state == "warning" and finding.words.startswith(f"{mode}: ") and "a photo of an enrolled person is recorded" in finding.words
        assert 'mode = "enforce"' in finding.words and "cannot be enforced" not in finding.words


def test_observe_says_whether_it_could_be_enforced(carded: Callable[..., LivenessCard]) -> None:
    carded(measured=())
    assert "cannot be enforced yet" in check_liveness(LivenessSettings(mode="observe")).words
    carded(threshold=None)
    assert "no threshold; its card states no error rates" in check_liveness(LivenessSettings(mode="observe")).words


def test_enforce_names_the_model_and_its_bar(carded: Callable[..., LivenessCard]) -> None:
    card = carded(measured=RATES, threshold=0.4, pictures=7)
    finding = check_liveness(LivenessSettings(mode="enforce"))
    assert finding.state == "ok"
    assert finding.words == f"enforce: {card.name} float32 {card.model_id[:12]}, threshold 0.40 for the median of 7 pictures or more"
    assert check_liveness(LivenessSettings(mode="enforce", challenge="turn")).words.endswith("and a turn of the head within 6 s")


def test_what_cannot_be_enforced_is_a_fault(carded: Callable[..., LivenessCard], tmp_path: Path) -> None:
    carded(measured=())
    with refused("liveness.not_measured"):
        check_liveness(LivenessSettings(mode="enforce"))
    first = ("camera", "models", "artefact", "card", "provider", "clock", "zone", "network", "disk")
    skip = (*first, "database", "keys", "templates", "logins", "fleet", "certificate", "fonts", "updates", "outbox")
    [finding] = doctor.examine(Settings(liveness=LivenessSettings(mode="enforce")), tmp_path / "none.db", None, skip)
    assert (finding.check, finding.state) == ("liveness", "FAULT") and "observe" in finding.words


def test_a_missing_model_is_a_fault_in_every_mode_that_judges(tmp_path: Path) -> None:
    for mode in ("observe", "enforce"):
        missing = LivenessSettings(mode=mode, model=str(tmp_path / "none.onnx"), sha256="0" * 64)
        assert doctor.guarded("liveness", lambda missing=missing: check_liveness(missing)).state == "FAULT"
    assert check_liveness(LivenessSettings(mode="off", model=str(tmp_path / "none.onnx"))).state == "warning"
