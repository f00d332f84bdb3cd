"""Runs the public commands as a stranger would, and keeps what they said."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Said", "call_public", "command_line"]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    command: str
    """As one would type it."""
    exit_code: int
    line: str
    """The last line it printed: the verdict and why."""
    document: Mapping[str, Any]
    """Its JSON answer (``--json``); empty when there was none."""
    seconds: float


def command_line(arguments: Sequence[str]) -> str:
    """``edgeproof ARGUMENTS`` as one would type it in a shell."""
    return shlex.join((".venv/bin/edgeproof", *arguments))


def call_public(arguments: Sequence[str], *, timeout_s: float = 300.0) -> Said:
    """Run ``edgeproof ARGUMENTS --json`` in a process of its own.

    Args:
        arguments: the subcommand and its arguments, without ``--json``.
        timeout_s: seconds.
    """
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "edgeproof", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    try:
        document = json.loads(result.stdout)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    line = str(document.get("line") or document.get("message") or (lines[-1] if lines else ""))
    return Said(
        command=command_line(arguments),
        exit_code=result.returncode,
        line=line,
        document=document,
        seconds=time.monotonic() - started,
    )
