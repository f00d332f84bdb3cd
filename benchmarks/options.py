"""The options that every benchmark takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmarks.scale import FULL, QUICK, Scale

__all__ = ["options", "positive", "scale_of", "writes_page"]


def options(
    program: str, description: str | None, parts: Iterable[str], docs: Path
) -> argparse.ArgumentParser:
    """The parser.

    Args:
        program: what the reader calls.
        description: what it does.
        parts: what it may be restricted to.
        docs: the page that it writes.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--repeats", type=positive, help=f"runs a figure (default {FULL.repeats})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--only", action="append", choices=list(parts), help="may be repeated")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page again")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of the JSON files")
    parser.add_argument("--docs", type=Path, default=docs, help=f"the page (default {docs})")
    return parser


def scale_of(asked: argparse.Namespace) -> Scale:
    """The sizes that were asked for."""
    scale = QUICK if asked.quick else FULL
    return scale if asked.repeats is None else scale.repeated(asked.repeats)


def writes_page(asked: argparse.Namespace, docs: Path) -> bool:
    """Whether the page is due: tiny sizes show that the measurements run; their figures are not for it."""
    return not asked.quick or asked.docs != docs


def positive(text: str) -> int:
    """A whole number of at least 1, as an option's type.

    Raises:
        ValueError, argparse.ArgumentTypeError: it is none; the parser says so.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
