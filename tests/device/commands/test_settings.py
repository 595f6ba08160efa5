"""Every setting says what it is: unit, range and help stand with its field, and the command and the page print them."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from device.__main__ import main
from device.commands.settings_table import rows
from device.config import Settings
from device.config.fields import chosen, ranged
from device.delivery.connectors import KINDS, described_kinds
from device.storage.settings import ONLY_IN_FILE, Setting, described, editable, every_setting
from device.storage.store import Store
from device.vision import catalogue
from device.vision.catalogue import ModelError
from device.vision.embedder import card_in
from tests.device.commands.settings_page import PAGE, renewed

EVERY = [("", setting) for setting in every_setting()] + [(kind, setting) for kind, settings in described_kinds().items() for setting in settings]
TEXT_LIKE = (str, tuple)


@pytest.mark.parametrize(("kind", "setting"), EVERY, ids=lambda value: value.name if isinstance(value, Setting) else value)
def test_every_setting_has_unit_range_and_help(kind: str, setting: Setting) -> None:
    assert setting.unit and setting.help, f"{setting.name}: give unit and help in its field"
    assert len(setting.help) > 10 and setting.help[0].isupper() and not setting.help.endswith(".")
    assert not set("|`\n") & set(setting.help + setting.unit), "it stands in a table and on a page"
    if setting.kind in (int, float):
        assert setting.low is not None and setting.high is not None and setting.low < setting.high
    elif setting.kind is bool:
        assert (setting.unit, setting.allowed) == ("yes or no", "true, false")
    else:
        assert setting.kind in TEXT_LIKE and (setting.unit != "choice" or len(setting.choices) > 1)


def test_a_field_without_them_does_not_pass() -> None:
    """As `training/config.py` makes its fields, which need neither."""

    @dataclasses.dataclass(frozen=True)
    class Bare:
        number: int = ranged(2, 1, 256)
        word: str = chosen("a", "a", "b")
        text: str = ""

    assert [(setting.help, setting.unit) for setting in described(Bare, "bare")] == [("", ""), ("", "choice"), ("", "")]


def test_no_setting_is_left_out() -> None:
    forms = {section.name: section.default for section in dataclasses.fields(Settings) if section.name != "connectors"}
    keys = [(name, field.name) for name, form in forms.items() for field in dataclasses.fields(form)]  # type: ignore[arg-type]
    assert [(setting.section, setting.key) for setting in every_setting()] == keys
    for kind, file in KINDS.items():
        fields = dataclasses.fields(importlib.import_module(f"device.delivery.connectors.{file}").Settings)
        assert ["name", "kind", *(setting.key for setting in described_kinds()[kind])] == [field.name for field in fields]


def test_only_the_file_sets_what_could_lock_everybody_out() -> None:
    in_file = [row for row in rows() if row["set_in"] == "file"]
    names = {f"{row['section']}.{row['name']}" for row in in_file}
    assert all(row["section"].partition(".")[0] in ONLY_IN_FILE or f"{row['section']}.{row['name']}" in ONLY_IN_FILE for row in in_file)
    assert {"store.path", "outbox.attempts", "web.plain_http", "connectors.NAME.url"} <= names
    assert {row["set_in"] for row in rows()} == {"file", "file or page"}
    assert {setting.name for setting in editable()} == {setting.name for setting in every_setting()} - names


def test_help_all_prints_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--help-all"]) == 0
    printed = capsys.readouterr().out
    assert "[camera]\nwidth = 640\n    Width of the picture" in printed and "    unit: px; range: 160 to 7680; set in: file or page\n" in printed
    for kind in KINDS:
        assert f'\n\n[connectors.NAME] kind = "{kind}"\n' in printed
    assert printed.count("    unit: ") == len(EVERY)


def test_help_all_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--help-all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["connector"] or "", row["section"], row["name"], row["help"]) for row in found] == [(kind, s.section, s.key, s.help) for kind, s in EVERY]
    by_name = {(row["connector"], row["name"]): row for row in found}
    fpir, url = by_name[None, "fpir"], by_name["webhook", "url"]
    assert (fpir["default"], fpir["low"], fpir["high"], fpir["range"]) == (0.001, 0.00001, 0.5, "0.00001 to 0.5")
    assert (url["default"], url["needed"], url["set_in"]) == (None, True, "file")
    assert by_name[None, "language"]["choices"][:2] == ["en", "de"] and by_name["sftp", "delimiter"]["range"] == '",", ";"'


def test_an_action_is_needed_without_help_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["settings"])
    assert ended.value.code == 2 and "required: action" in capsys.readouterr().err


def test_the_page_has_the_tables_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "write it anew: python -m tests.device.commands.settings_page"
    assert main(["settings", "--help-all", "--format", "markdown"]) == 0
    assert capsys.readouterr().out in page


def test_a_setting_that_the_models_card_has_no_threshold_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        card = card_in(catalogue.path(Settings().embedder.model))
    except ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    database = str(tmp_path / "clockface.db")
    Store.open(Path(database)).close()
    assert main(["settings", "set", "decision.fpir", "0.0123", "--db", database]) == 1
    assert f"model card of {card.name!r}" in capsys.readouterr().err
    assert main(["settings", "set", "decision.at_least_templates", str(card.capacity(Settings().decision.fpir) + 1), "--db", database]) == 1
    assert main(["settings", "set", "decision.fpir", "0.01", "--db", database]) == 0
    capsys.readouterr()
    assert main(["settings", "list", "--db", database]) == 0 and capsys.readouterr().out == "decision.fpir = 0.01\n"
