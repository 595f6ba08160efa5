"""What libjpeg says of a file while OpenCV decodes it: warnings on standard error, and nowhere else.

It decodes on after them and paints grey; OpenCV passes none of them on. Only a process apart listens, whose standard error is
nobody else's: there it is a pipe.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

SPARE = 32  # bytes that encoders may leave unused at the end of the picture
ERROR = 2  # the file descriptor of standard error
WARNING = re.compile(rb"(?:Corrupt JPEG data|Premature end of JPEG file|Inconsistent progression sequence)[^\n]*")
LEFT_OVER = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")

_listening: int | None = None  # the end of the pipe that is read


def listen() -> None:
    """Make standard error of this process a pipe, for good. It holds nobody up: what does not fit is lost, and the first warning is enough."""
    global _listening
    _listening, speaking = os.pipe()
    os.dup2(speaking, ERROR)
    for end in (_listening, speaking, ERROR):
        os.set_blocking(end, False)


def complaint(decode: Callable[[], object]) -> str:
    """What is wrong with the data that is decoded, in libjpeg's words; "" for nothing, and in a process that does not listen."""
    if _listening is None:
        return ""
    _read(_listening)
    decode()
    for words in WARNING.findall(_read(_listening)):
        left = LEFT_OVER.fullmatch(words)
        if left is None or int(left[1]) > SPARE:
            return str(words.decode("ascii", "replace"))
    return ""


def _read(listening: int) -> bytes:
    said = b""
    try:
        while piece := os.read(listening, 65536):
            said += piece
    except BlockingIOError:  # all of it is read
        pass
    return said
