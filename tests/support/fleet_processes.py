"""Processes of this machine as the kernel shows them, and waiting for what they do. Linux alone (/proc)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "caught_signals",
    "children",
    "command_line",
    "free_port",
    "has_environment",
    "live_processes",
    "session",
    "wait_until",
]


def wait_until(
    condition: Callable[[], bool],
    timeout_s: float,
    what: str | Callable[[], str] = "",
    pause_s: float = 0.05,
) -> None:
    """Until the condition holds.

    Raises:
        AssertionError: not within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(pause_s)


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def live_processes() -> list[int]:
    """Every process that has not ended (a zombie has)."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in numbers if _stat(pid)[0] not in ("Z", "X", "")]


def children(pid: int) -> list[int]:
    """A process's children."""
    return [child for child in live_processes() if _stat(child)[1] == str(pid)]


def has_environment(pid: int, entry: str) -> bool:
    """Whether a process was started with this environment entry (``NAME=value``), or inherited it."""
    try:
        return entry.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # ended just now, or somebody else's


def session(pid: int) -> int | None:
    """Leader of a process's session; None when it has ended."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def command_line(pid: int) -> str:
    """As it was started."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def caught_signals(pid: int) -> int:
    """Mask of the signals that a process handles itself."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in text.splitlines() if line.startswith("SigCgt")), 0)


def _stat(pid: int) -> tuple[str, str]:
    """State and parent; empty when there is no such process."""
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return state, parent
