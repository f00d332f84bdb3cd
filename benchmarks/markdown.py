"""Pieces of the pages with figures: tables, numbers, what they were measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["failed", "measured", "ms", "seconds", "share", "size", "table"]


def measured(result: Mapping[str, Any]) -> str:
    """What the figures were measured on, in small print."""
    machine, scale = result["machine"], result["scale"]
    load = machine["load_average"]
    busy = (
        f"**The machine was busy with other work (load {load} at the start): a quiet one is faster.**"
        if load > machine["cores"] / 2
        else f"Load at the start: {load}."
    )
    small = " **Tiny sizes, only to see that it runs.**" if scale["name"] != "full" else ""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"<sub>{machine['date']}; {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB, {machine['system']}; Python {machine['python']}, {machine['gmp']}, "
        f"SQLite {machine['sqlite']}, OpenSSL {machine['openssl']}, {packages}. "
        f"Medians of {scale['repeats']} runs. {busy}{small}</sub>"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    return [
        "",
        "| " + " | ".join(heads) + " |",
        "|---|" + "---:|" * (len(heads) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count} B" if count < 1024 else f"{count // 1024} KiB"


def ms(value: float) -> str:
    """Milliseconds with three digits or so."""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def seconds(value: float) -> str:
    """Seconds with two digits or so."""
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def share(value: float) -> str:
    """A part of one in per cent."""
    return f"{value * 100:.0f} %"


def failed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line that says how many failed; none where none did."""
    count = sum(row["failed"] for row in rows)
    return [f"**{count} transactions failed.**", ""] if count else []
