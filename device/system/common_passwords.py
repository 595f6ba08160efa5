"""Frequent passwords, which somebody who guesses tries first; for passwords, and for passphrases that seal a file."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

COMMON = Path(__file__).with_name("common_passwords.txt.gz")  # one per line, lower case, sorted
UNDECORATED = re.compile(r"^[\W\d_]+|[\W\d_]+$")


def common(folded: str) -> bool:
    """Whether a password, or what is left of it without digits and signs before and after, is nothing or one of 40,000 frequent ones (NOTICE: whose list)."""
    bare = UNDECORATED.sub("", folded)
    with gzip.open(COMMON) as file:
        listed = file.read()  # 320 kB, of which nothing is kept: few passwords are set
    return not bare or any(f"\n{text}\n".encode() in b"\n" + listed for text in (folded, bare))
