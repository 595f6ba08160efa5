"""One line for "this is refused": the code says which error it is, so tests do not hold on to the wording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from device.contract import ClockfaceError


@contextmanager
def refused(code: str, *words: str) -> Iterator[pytest.ExceptionInfo[ClockfaceError]]:
    """What runs inside must fail with the error of this code, and its message must have each of the words, such as a setting or a file."""
    with pytest.raises(ClockfaceError) as caught:
        yield caught
    assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
    said = str(caught.value)
    assert all(word in said for word in words), f"{[word for word in words if word not in said]} not in: {said}"
