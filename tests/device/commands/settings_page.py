"""Write the tables of docs/settings.md anew: `python -m tests.device.commands.settings_page`, after a change of a setting."""

from __future__ import annotations

from pathlib import Path

from device.commands.settings_table import markdown

PAGE = Path(__file__).resolve().parents[3] / "docs/settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "\n<!-- settings: end -->"


def renewed(page: str) -> str:
    """The page with the tables of the code between its two markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
