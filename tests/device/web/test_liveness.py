"""Liveness at the desk: the mode in force, refused attempts in words, and what would have been refused."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.worksite import Site
from device.config import LivenessSettings, Settings
from device.storage.store import PunchDraft
from device.system.clock import ClockState
from tests.device.web.conftest import Desk

DAY = 86_400.0


@pytest.fixture
def site(with_settings: Callable[[Settings], Desk]) -> Callable[[str], Desk]:
    """The pages of a terminal in Berlin, with liveness in a mode; its model has a threshold of 0.5."""

    def made(mode: str) -> Desk:
        desk = with_settings(Settings(liveness=LivenessSettings(mode=mode)))
        desk.clock.now += 3 * 3600  # 16:33 in Berlin
        liveness: Any = SimpleNamespace(card=SimpleNamespace(name="small", model_id="ab" * 32, threshold=0.5))
        card = SimpleNamespace(model_id="m" * 64, name="net", embedding_size=2)
        desk.terminal.live.booth.recogniser = SimpleNamespace(  # type: ignore[assignment]
            embedder=SimpleNamespace(card=card, provider="cpu"),
            capacity=1000,
            liveness=None if mode == "off" else liveness,
            settings=desk.terminal.settings,
            threshold=lambda people: 0.4,
        )
        with desk.store() as store:
            Planning(store).set_site(Site("Europe/Berlin"), "test")
        return desk

    return made


def tile(page: str, label: str) -> str:
    """The text of one fact of the health page; empty where it is not shown."""
    return page.partition(f"<span>{label}</span>")[2].partition("</div>")[0]


def refuse(desk: Desk, *attempts: tuple[float, str, float | None]) -> None:
    with desk.store() as store:
        for ago, reason, score in attempts:
            store.add_refusal(desk.clock.now - ago, reason, score, 9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "value", "hint"),
    [
        ("enforce", "enforced", "small abababababab"),
        ("observe", "observed", "a photo of an enrolled person is recorded all the same"),
        ("off", "off", "A photo of an enrolled person is recorded"),
    ],
)
def test_health_shows_the_mode_in_force(site: Callable[[str], Desk], mode: str, value: str, hint: str) -> None:
    shown = tile(site(mode).browser("viewer").get("/health").text, "Liveness")
    assert f"<b>{value}</b>" in shown and hint in shown


def test_health_says_that_the_demo_judges_nothing(site: Callable[[str], Desk]) -> None:
    desk = site("enforce")
    desk.terminal.live.booth.recogniser.liveness = None  # type: ignore[union-attr]
    assert "the demo shows photographs" in tile(desk.browser("viewer").get("/health").text, "Liveness")


def test_attempts_of_today_with_the_last_and_its_reason(site: Callable[[str], Desk]) -> None:
    desk = site("enforce")
    refuse(desk, (DAY, "picture", 0.1), (120, "picture", 0.02), (61, "not_judged", None))
    today, health = (desk.browser("viewer").get(page).text for page in ("/today", "/health"))
    last = Site("Europe/Berlin").local(int((desk.clock.now - 61) // 60))
    assert f"<b>2</b> today, the last at {last:%H:%M}: whether the face is a living one could not be judged. Nobody was recorded." in today
    assert "<b>2 today</b>" in tile(health, "Refused attempts") and f"last at {last:%H:%M}" in tile(health, "Refused attempts")
    refuse(desk, (1, "picture", 0.02))
    assert "the face looked like a picture or a screen" in desk.browser("viewer").get("/today").text


@pytest.mark.parametrize("mode", ["enforce", "observe", "off"])
def test_a_zero_is_shown_only_where_something_is_judged(site: Callable[[str], Desk], mode: str) -> None:
    desk = site(mode)
    today, health = (desk.browser("viewer").get(page).text for page in ("/today", "/health"))
    assert ("Refused attempts" in today) == ("<b>none today</b>" in tile(health, "Refused attempts")) == (mode != "off")
    refuse(desk, (60, "picture", 0.1))  # before it was switched off
    assert "<b>1</b> today" in desk.browser("viewer").get("/today").text


def test_no_page_calls_anybody_an_attacker(site: Callable[[str], Desk]) -> None:
    desk = site("enforce")
    refuse(desk, (60, "picture", 0.1), (30, "not_judged", None))
    for page in ("/today", "/health", "/log", "/plots", "/settings"):
        text = desk.browser("admin").get(page).text.casefold()
        assert not [word for word in ("attack", "angriff", "fraud", "spoof") if word in text], page


def test_a_picture_that_hangs_in_view_is_told(site: Callable[[str], Desk]) -> None:
    desk = site("enforce")
    assert "Picture in view" not in desk.browser("viewer").get("/health").text
    desk.terminal.live.picture_in_view = lambda: True
    assert "holds nobody back" in tile(desk.browser("viewer").get("/health").text, "Picture in view")


def test_observing_shows_who_would_have_been_refused(site: Callable[[str], Desk]) -> None:
    desk = site("observe")
    with desk.store() as store:
        store.add_person("Ann", "E1")
        for ago, score in ((300, 0.98), (200, 0.013), (100, None)):
            draft = PunchDraft(1, desk.clock.now - ago, "in", "door", "face", ClockState(True, "b", 1), 0.6, 0.3, 0.4, score, "m")
            store.record_punch(draft)
    log, plots = (desk.browser("viewer").get(page).text for page in ("/log", "/plots"))
    assert log.count("liveness 0.") == 1 and "liveness 0.01" in log
    assert "1 of 2 judged punches did not score above the threshold" in plots and "threshold 0.500" in plots


def test_log_and_plots_count_refused_attempts(site: Callable[[str], Desk]) -> None:
    desk = site("enforce")
    assert "Liveness scores" not in desk.browser("viewer").get("/plots").text and "refused" not in desk.browser("viewer").get("/log").text
    refuse(desk, (60, "picture", 0.1), (30, "not_judged", None), (DAY, "picture", 0.1))
    assert "2 attempts refused" in desk.browser("viewer").get("/log").text
    desk.clock.now += 11 * 60  # the plots are computed anew every 10 minutes
    plots = desk.browser("viewer").get("/plots").text
    assert "3 attempts were refused, 1 of them because nothing could be judged" in plots and "<td>0.10</td><td>0</td><td>2</td>" in plots


def test_the_settings_page_has_liveness(site: Callable[[str], Desk]) -> None:
    page = site("observe").browser("admin").get("/settings").text
    for name in ("liveness.mode", "liveness.challenge", "liveness.challenge_seconds"):
        assert name in page
    assert page.index("<h2>Recognition</h2>") < page.index("<h2>Liveness</h2>") < page.index("<h2>Picture quality</h2>")
