"""Invitations as QR codes: what a camera reads is what was invited, and a used or expired one is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from device.__main__ import main
from device.attendance.planning import Planning
from device.fleet import invitation_code, membership, owner
from device.fleet.invitation_code import CodeReader, parts
from device.fleet.owner import Invitation
from device.storage.store import Store
from device.system.qr_codes import drawn, modules, picture
from device.web.access import set_up_by_code
from tests.device.code_views import seen
from tests.refused import refused

PLAIN = Invitation(
    "f" * 36, "Tor Süd", "Werk “Nord”", "postgres.example", 5432, "clockface", "verify-full",
    "", "clockface_0123456789ab", "x" * 32, "2026-11-29T15:00:00.123456+00:00",
)  # fmt: skip


def authority() -> str:
    """A certificate authority as a company would make one."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example database authority")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=30))
    return made.add_extension(x509.BasicConstraints(True, None), True).sign(key, SHA256()).public_bytes(Encoding.PEM).decode().strip()


def read(pictures: Sequence[np.ndarray]) -> Invitation | None:
    reader = CodeReader()
    return next((found for found in map(reader.take, pictures) if found), None)


def test_a_camera_reads_the_codes_in_any_order() -> None:
    invited = Invitation(**{**PLAIN.__dict__, "authority": authority()})
    texts = parts(invited)
    assert len(parts(PLAIN)) == 2 and len(texts) > 3 and max(map(len, texts)) < 251  # bytes of version 11, level M
    views = [seen(modules(text), seed) for seed in range(3) for text in reversed(texts)]
    found = read(views)
    assert found is not None and x509.load_pem_x509_certificate(found.authority.encode()) == x509.load_pem_x509_certificate(invited.authority.encode())
    assert Invitation(**{**found.__dict__, "authority": ""}) == PLAIN
    assert read(views[: len(texts) - 1]) is None


def test_two_invitations_do_not_mix() -> None:
    other = parts(Invitation(**{**PLAIN.__dict__, "name": "Gate B"}))
    mine = parts(PLAIN)
    views = [seen(modules(text), 0) for text in (mine[0], other[1], "https://example.org", mine[1])]
    assert read(views[:3]) is None
    assert read(views) == PLAIN


def test_a_picture_and_a_window_show_the_same() -> None:
    image = cv2.imdecode(np.frombuffer(picture(parts(PLAIN)), np.uint8), cv2.IMREAD_COLOR)
    assert read([image]) == PLAIN
    text = parts(PLAIN)[0]
    lines = [re.sub(r"\033\[[0-9;]*m", "", line) for line in drawn(text).split("\n")]
    upper = np.array([[glyph in "▀█" for glyph in line] for line in lines])
    lower = np.array([[glyph in "▄█" for glyph in line] for line in lines])
    rows = np.stack([upper, lower], 1).reshape(-1, upper.shape[1])[: upper.shape[1]]
    assert np.array_equal(rows, modules(text) == 255)


def test_join_by_picture_once(company: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file, copy = tmp_path / "a.png", tmp_path / "copy.png"
    assert main(["fleet", "invite", "Gate A", "--site", "North", "--url", company, "--qr", "--out", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    copy.write_bytes(file.read_bytes())
    assert main(["fleet", "join", str(file), "--db", str(tmp_path / "a.db")]) == 0
    assert "joined as Gate A in North" in capsys.readouterr().out and not file.exists()
    assert main(["fleet", "join", "--camera", str(copy), "--db", str(tmp_path / "b.db")]) == 1  # by another terminal, with a copy
    assert "used already or has expired" in capsys.readouterr().err
    assert main(["fleet", "invite", "Gate B", "--site", "North", "--url", company, "--qr"]) == 0
    assert "code 1 of" in capsys.readouterr().out


def test_a_set_up_code_joins_once_with_all_it_says(company: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second terminal that shows up with a copy joins nothing and keeps nothing of it."""
    file = tmp_path / "a.png"
    assert main(["fleet", "invite", "Gate A", "--site", "North", "--url", company, "--setup", "--zone", "Asia/Tokyo", "--out", str(file)]) == 0
    assert main(["settings", "--from-code", str(file), "--db", str(tmp_path / "a.db")]) == 0
    assert "fleet: Gate A in North" in capsys.readouterr().out
    with Store.open(tmp_path / "a.db") as store:
        member = membership.read(store)
        assert member is not None and (member.name, Planning(store).site().zone) == ("Gate A", "Asia/Tokyo")
    assert main(["settings", "--from-code", str(file), "--db", str(tmp_path / "b.db")]) == 1
    assert "used already" in capsys.readouterr().err
    with Store.open(tmp_path / "b.db") as store:
        assert membership.read(store) is None and set_up_by_code.waiting(store)


def test_an_expired_invitation_is_told(company: str, tmp_path: Path) -> None:
    late = owner.invite(company, "Gate A", "North", valid=timedelta(seconds=-1))
    with Store.open(tmp_path / "a.db") as store, refused("fleet.invitation", "has expired", late.until):
        membership.join(store, late)
    with Store.open(tmp_path / "a.db") as store, refused("fleet.away"):
        membership.join(store, Invitation(**{**late.__dict__, "port": 1}))


def test_what_is_no_invitation_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.png"
    file.write_bytes(picture(["https://example.org"]))
    assert main(["fleet", "join", str(file), "--db", str(tmp_path / "a.db")]) == 1
    assert "no code of an invitation" in capsys.readouterr().err
    assert main(["fleet", "join", "--db", str(tmp_path / "a.db")]) == 1
    with refused("fleet.invitation"):
        invitation_code._invitation("[1]")
