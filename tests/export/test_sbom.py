"""The bill of materials: every pin and every model file once, in the form of CycloneDX 1.6."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from device.vision import catalogue
from export import sbom
from export.__main__ import main
from tests.refused import refused

PINS = Path(__file__).resolve().parents[2] / "export/pins"


def test_every_pin_and_every_model_is_there(tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    assert main(["sbom", "--out", str(file)]) == 0
    bill = json.loads(file.read_text(encoding="utf-8"))
    lines = [line.split() for pins in PINS.glob("*.txt") for line in pins.read_text().splitlines() if "==" in line]
    wanted = {(words[0], words[1].removeprefix("--hash=sha256:")) for words in lines}
    wanted |= {(f"{name}@", entry.sha256) for name, entry in catalogue.entries().items()}
    versions = {"library": lambda each: f"{each['name']}=={each['version']}"}
    found = {(versions.get(each["type"], lambda each: f"{each['name']}@")(each), digest["content"]) for each in bill["components"] for digest in each["hashes"]}
    assert found == wanted and len(wanted) > 50


def test_the_form_is_cyclonedx() -> None:
    bill = sbom.bill()
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", bill["serialNumber"])
    refs = [each["bom-ref"] for each in bill["components"]]
    assert len(refs) == len(set(refs)) and bill["dependencies"] == [{"ref": "clockface", "dependsOn": refs}]
    for each in bill["components"]:
        assert each["type"] in ("library", "machine-learning-model", "data") and each["name"] and each["version"]
        assert all(digest["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", digest["content"]) for digest in each["hashes"])
    assert sbom.bill() == bill  # nothing of the day or the machine


def test_a_line_that_is_no_pin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x86_64-3.11.txt").write_text("numpy>=1.26\n")
    monkeypatch.setattr(sbom, "PINS", tmp_path)
    with refused("wheels", "numpy>=1.26"):
        sbom.bill()
