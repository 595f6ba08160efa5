"""Which file of a chosen folder a name in a list means. A name that may mean several files means none of them: the wrong face would be enrolled."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from device.contract import phrase
from device.storage.records import UNSEEN
from device.vision.images import IMAGE_SUFFIXES

DEEPEST = 8  # folders that a name is compared with
SHOWN = 3  # files named in a remark


class PhotoNames:
    """The files of a folder, by what a list may call them.

    Args:
        paths: as a browser gives them, the chosen folder first: `staff/Ada/front.jpg`.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._given: dict[str, list[str]] = {}  # with the chosen folder or from inside it, letter by letter
        self._placed: dict[str, list[str]] = {}  # the same, folded
        self._endings: dict[str, list[str]] = {}  # folded: front.jpg, ada/front.jpg, ...
        self._whole: dict[str, list[str]] = {}
        self._in_folder: dict[str, list[str]] = {}  # pictures by the name of their folder, folded
        self._by_code: dict[str, list[str]] = {}  # pictures by the code that their name begins with, folded: e17 for E17.jpg and E17-2.jpg
        for path in dict.fromkeys(paths):
            parts = folded(path).split("/")
            for name in {path, path.partition("/")[2] or path}:
                self._given.setdefault(name, []).append(path)
            for name in {"/".join(parts), "/".join(parts[1:] or parts)}:
                self._placed.setdefault(name, []).append(path)
            for count in range(1, min(len(parts), DEEPEST) + 1):
                self._endings.setdefault("/".join(parts[-count:]), []).append(path)
            self._whole.setdefault("/".join(parts), []).append(path)
            if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES:
                self._of_person(path, parts)

    def _of_person(self, path: str, parts: list[str]) -> None:
        for folder in parts[-2:-1]:
            self._in_folder.setdefault(folder, []).append(path)
        stem = parts[-1].rpartition(".")[0]
        for end in (*(at for at, letter in enumerate(stem) if letter in "-_ "), len(stem)):
            self._by_code.setdefault(stem[:end], []).append(path)

    def find(self, listed: str) -> list[str]:
        """The files that a name may mean: one, none, or several where it is not clear.

        First the path as given, with the chosen folder or from inside it; then whatever its case, Unicode form and slashes;
        then a path that ends with it; last a path that it ends with, such as `C:\\HR\\staff\\Ada\\front.jpg`.
        """
        name = folded(listed)
        found = self._given.get(listed) or self._placed.get(name) or self._endings.get(name)
        return found or next((self._whole[longer] for longer in _inside(name) if longer in self._whole), [])

    def of_person(self, name: str, code: str) -> tuple[list[str], list[str]]:
        """The pictures in folders named like the person or the code, and those named by the code; and these folders, which should be one."""
        inside = [path for part in {folded(name), folded(code)} - {""} for path in self._in_folder.get(part, [])]
        by_code = self._by_code.get(folded(code), []) if code else []
        return sorted({*inside, *by_code}), sorted({str(PurePosixPath(path).parent) for path in inside})


def folded(name: str) -> str:
    """A path whatever its case, its Unicode form (macOS decomposes: NFD), its slashes and marks that nobody sees."""
    caseless = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name.translate(UNSEEN)).casefold())
    return "/".join(part for part in caseless.replace("\\", "/").split("/") if part not in ("", "."))


def _inside(name: str) -> Iterable[str]:
    """A path without its first folders, as long as one folder is left: the file's name alone may be anybody's."""
    parts = name.split("/")[-DEEPEST:]
    return ("/".join(parts[count:]) for count in range(len(parts) - 1))


def unclear(listed: str, found: Iterable[str]) -> str:
    """Words for a name that may mean several files or folders."""
    several = sorted(found)
    more = len(several) - SHOWN
    files = ", ".join(several[:SHOWN])
    files = phrase("people.more", "{names} and {number} more", names=files, number=more) if more > 0 else files
    return phrase("bulk.unclear", "{listed} is not clear: {files}; give the path from the chosen folder", listed=listed, files=files)
