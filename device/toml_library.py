"""The TOML library: `tomllib`, which the standard library has from Python 3.11 on; before that `tomli`, the same as a package."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["tomllib"]
