"""Reading the logs of a network's processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from network.layout import Layout

__all__ = ["follow_logs", "log_files", "tail"]

_BLOCK = 64 * 1024
_PAUSE_S = 0.3


def log_files(root: Path, names: Sequence[str]) -> list[Path]:
    """The logs whose process's name has one of ``names`` in it (every log without names), by name."""
    files = sorted(Layout.of(root).logs.glob("*.log"))
    return [file for file in files if not names or any(name in file.stem for name in names)]


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, read from its end."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        content = b""
        while position > 0 and content.count(b"\n") <= lines:
            size = min(_BLOCK, position)
            position = file.seek(position - size)
            content = file.read(size) + content
    found = content.decode(errors="replace").splitlines()
    return found[len(found) - min(lines, len(found)) :]


def follow_logs(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """(process, line) of everything that is written from now on, for ever; logs that are turned over too."""
    places = {file: file.stat().st_size for file in files}
    rests = dict.fromkeys(files, b"")
    while True:
        silent = True
        for file in files:
            size = file.stat().st_size if file.exists() else 0
            if size < places[file]:  # turned over
                places[file], rests[file] = 0, b""
            if size == places[file]:
                continue
            with file.open("rb") as opened:
                opened.seek(places[file])
                content = opened.read(size - places[file])
            places[file] += len(content)
            silent = False
            *whole, rests[file] = (rests[file] + content).split(b"\n")
            for line in whole:
                yield file.stem, line.decode(errors="replace")
        if silent:
            time.sleep(_PAUSE_S)
