"""Following a document's shell examples: what stands there is what runs, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import requests

__all__ = ["ROOT", "Folder", "commands", "examples"]

ROOT = Path(__file__).resolve().parents[2]


def commands(document: str, section: str) -> list[str]:
    """The shell commands below a heading of second order, comments cut, continued lines joined."""
    code = "\n".join(examples(document, section, "sh"))
    # A line that ends with "\" or "|" goes on; of comments, those that follow a command.
    code = re.sub(r"(?<=\|)\n|\\\n", " ", code)
    return [line for line in (re.sub(r"\s+#\s.*", "", line).strip() for line in code.splitlines()) if line]


def examples(document: str, section: str, language: str) -> list[str]:
    """The examples below a heading of second order that are in a language, as they stand."""
    text = (ROOT / document).read_text()
    (part,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)


class Folder:
    """An empty folder in which a document is followed.

    Args:
        path: the folder.
        replace: text of the document to what stands for it here; the first gateway's address is replaced by
            one that is free.
    """

    def __init__(self, path: Path, replace: Mapping[str, str] | None = None) -> None:
        self.path = path
        (path / "build").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.replace = {"http://127.0.0.1:8440": f"http://127.0.0.1:{self.port}", **(replace or {})}
        self.environment = dict(os.environ)
        self._running: subprocess.Popen[str] | None = None

    def here(self, text: str) -> str:
        """A command as it is run here."""
        for old, new in self.replace.items():
            text = text.replace(old, new)
        return text

    def run(self, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run a command, with ``more`` arguments if it is one of ours; the caller looks at the exit code."""
        arguments = self._ours(command)
        if arguments is None:
            arguments = ["/bin/sh", "-c", self.here(command)]
        return subprocess.run(
            [*arguments, *more],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def must(self, command: str, *more: str) -> str:
        """Run a command that must succeed; what it prints."""
        done = self.run(command, *more)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def until(self, command: str, seconds: float = 90) -> str:
        """Run a command again until it succeeds, as one does who waits for an anchor; what it prints."""
        end = time.monotonic() + seconds
        while (done := self.run(command)).returncode == 3 and time.monotonic() < end:
            time.sleep(0.5)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: str) -> None:
        """Start ``edgeproof run …`` on a free port, without training peers (they have tests of their own)."""
        arguments = self._ours(command)
        assert arguments is not None, command
        if "--run" in arguments:
            at = arguments.index("--run")
            arguments = [*arguments[:at], *arguments[at + 2 :]]
        self._running = subprocess.Popen(
            [*arguments, "--port", str(self.port)],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 90
        while True:
            try:
                if requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:
                assert self._running.poll() is None, "`edgeproof run` ended"
            assert time.monotonic() < end
            time.sleep(0.1)

    def stop(self) -> None:
        """End what was started."""
        if self._running is not None:
            self._running.terminate()
            self._running.communicate(timeout=60)
            self._running = None

    def _ours(self, command: str) -> list[str] | None:
        match = re.match(r"(?:\.venv/bin/)?edgeproof ", command)
        if match is None:
            return None
        return [sys.executable, "-m", "edgeproof", *shlex.split(self.here(command[match.end() :]))]
