"""The thread of the pages comes back by itself on the same port, and ends when it is told."""

from __future__ import annotations

import time
import urllib.request

import pytest

from device.web.server import Address, WebServer
from tests.device.web.conftest import Desk


def answers(url: str, seconds: float = 8.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return urllib.request.urlopen(f"{url}/kiosk", timeout=2).status == 200  # type: ignore[no-any-return]
        except OSError:
            time.sleep(0.05)
    return False


@pytest.mark.parametrize("fault", ["ends by itself", "raises"])
def test_pages_that_end_come_back_on_the_same_port(desk: Desk, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    with WebServer(desk.terminal, [Address("127.0.0.1", 0), Address("127.0.0.1", 0)]) as server:
        assert all(answers(url) for url in server.urls)
        before = server.servers[0]
        if fault == "raises":

            async def broken() -> None:
                raise RuntimeError("no more files")

            before.on_tick = lambda counter: broken()  # type: ignore[assignment, method-assign]
        else:
            before.should_exit = True
        deadline = time.monotonic() + 8
        while server.servers[0] is before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(answers(url) for url in server.urls)
    assert "it starts again in 1 s" in caplog.text and not answers(server.urls[0], 0.2)
