"""The table of refusals in the operator's guide (docs/network.md)."""

from __future__ import annotations

from pathlib import Path


def documented_refusals() -> dict[str, str]:
    """Name of the error, and what to do."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "network.md").read_text()
    table = page[page.index("### Requests that are refused") :]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {error.strip("`"): what for error, _, what in rows}
