"""The logs of a network's processes: reading them, and beginning them anew."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["follow_logs", "log_files", "tail", "turn_over"]

_log = logging.getLogger(__name__)

_BLOCK = 64 * 1024
_PAUSE_S = 0.3
_LOG_LIMIT = 8 * 1024 * 1024
_LOGS_KEPT = 3


def log_files(folders: Iterable[Path], names: Sequence[str]) -> list[Path]:
    """The logs whose process's name has one of ``names`` in it (every log without names), by name.

    Args:
        folders: where logs are; some may not be there.
        names: names, or parts of them.
    """
    files = sorted((file for folder in folders for file in folder.glob("*.log")), key=lambda file: file.name)
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


def turn_over(path: Path) -> None:
    """Begin a log anew once it is large.

    The process keeps the file open for appending, so its bytes are copied away and the file is emptied; a
    line that is written in between is lost, as with logrotate's copytruncate.
    """
    try:
        if path.stat().st_size <= _LOG_LIMIT:
            return
        for number in range(_LOGS_KEPT - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError as error:
        _log.warning("%s cannot be turned over: %s", path, error)
