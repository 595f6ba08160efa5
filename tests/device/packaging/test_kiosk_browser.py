"""What the browser of the kiosk screen may open and do: Chromium's policy file, with Debian's Chromium in a mount namespace of its own."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[3] / "device/packaging"
POLICY = PACKAGING / "chromium-policy.json"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@pytest.fixture(scope="module")
def policy() -> dict[str, object]:
    found: dict[str, object] = json.loads(POLICY.read_text(encoding="utf-8"))
    return found


def test_nothing_but_the_kiosk_is_allowed(policy: dict[str, object]) -> None:
    assert policy["URLBlocklist"] == ["*"]
    assert policy["URLAllowlist"] == ["http://127.0.0.1:8080", "file:///opt/clockface/current/device/board/starting.html"]
    assert policy["DeveloperToolsAvailability"] == 2 and policy["DownloadRestrictions"] == 3 and policy["ExtensionInstallBlocklist"] == ["*"]
    assert policy["AllowFileSelectionDialogs"] is False and policy["PrintingEnabled"] is False


def test_the_screen_shows_what_the_policy_allows(policy: dict[str, object]) -> None:
    script, unit = ((PACKAGING / name).read_text(encoding="utf-8") for name in ("kiosk.sh", "clockface-kiosk.service"))
    started = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert started and started[1] == "/usr/bin/cage -- /opt/clockface/current/device/board/kiosk.sh"  # -s would let a keyboard switch consoles
    assert 'show "file://$(dirname "$0")/starting.html"' in script and "show http://127.0.0.1:8080/kiosk" in script
    assert "--disable-pinch" in script and "--overscroll-history-navigation=0" in script


def test_install_and_uninstall_know_the_file() -> None:
    install, uninstall = ((PACKAGING / name).read_text(encoding="utf-8") for name in ("install.sh", "uninstall.sh"))
    assert '"$folder/policies/managed/clockface.json"' in install
    assert all(f"{folder}/policies/managed/clockface.json" in uninstall for folder in ("/etc/chromium", "/etc/chromium-browser"))


def binary() -> Path:
    found = next((path for path in (Path("/usr/lib/chromium/chromium"),) if path.is_file()), None)
    if found is None:
        pytest.skip("Debian's Chromium is not installed (apt install chromium)")
    return found


def test_this_chromium_knows_every_policy(policy: dict[str, object], tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("\n".join(policy))
    found = subprocess.run(["grep", "-aoFf", str(names), str(binary())], capture_output=True, text=True, errors="replace").stdout.split()
    assert sorted(set(policy) - set(found)) == []


@pytest.fixture
def page(tmp_path: Path) -> Iterator[None]:
    """Something at 127.0.0.1:8080, where the kiosk page is on a terminal."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "kiosk").write_text("<p>kiosk page</p>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {"": "text/html"}

        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, directory=str(folder), **more)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Quiet)
    except OSError:
        pytest.skip("port 8080 is taken here")
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_chromium_opens_the_kiosk_and_no_file(policy: dict[str, object], tmp_path: Path, page: None) -> None:
    """The policy without its line on developer tools, which also forbids what reads the page here."""
    binary()
    managed = tmp_path / "etc/policies/managed"
    managed.mkdir(parents=True)
    (managed / "clockface.json").write_text(json.dumps({key: value for key, value in policy.items() if key != "DeveloperToolsAvailability"}))
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    Path("/etc/chromium").mkdir(exist_ok=True)

    def opened(url: str) -> str:
        browser = ["chromium", *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", url]
        command = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/chromium && exec "$@"', str(tmp_path / "etc"), *browser]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        return done.stdout + done.stderr

    assert "kiosk page" in opened("http://127.0.0.1:8080/kiosk")
    for url in ("file:///etc/passwd", "http://127.0.0.1:8081/", "chrome://settings"):
        said = opened(url)
        assert "ERR_BLOCKED_BY_ADMINISTRATOR" in said and "root:" not in said, url
