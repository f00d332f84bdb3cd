"""A small honest supervisor: starts processes, restarts those that die, ends them all.

Every child holds the reading end of a pipe whose writing end only the supervisor has: when the supervisor is
gone, however it went, the pipe closes and the child ends itself (as ``edgeproof serve --with-parent`` does).
So no process is left over, and no process id is ever guessed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from network.errors import ProcessFailed

__all__ = ["ProcessSpec", "Supervisor"]

_log = logging.getLogger(__name__)
_LOG_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment at the first start only (tests arm failpoints with it)."""


@dataclass
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    starts: int = 0
    deaths: int = 0
    not_before: float = 0.0
    started: float = 0.0


class Supervisor:
    """Keeps a set of processes running until ``stop``.

    Args:
        logs: folder for one log file a process (appended; turned over at 8 MiB).
        backoff_s: pause before the first restart, doubled while a process keeps dying young, seconds.
        max_restarts: give up on a process that died this often within its first two seconds, in a row.
    """

    def __init__(self, logs: Path, *, backoff_s: float = 0.1, max_restarts: int = 8) -> None:
        self._logs = logs
        self._backoff = backoff_s
        self._max_restarts = max_restarts
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.on_death: Callable[[str, int], None] = lambda name, code: None
        """Called with a process's name and its return code whenever it died unasked."""

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, spec: ProcessSpec) -> None:
        """Start a process and keep it running."""
        with self._lock:
            if spec.name in self._children:
                raise ProcessFailed(f"{spec.name} is already supervised")
            child = _Child(spec)
            self._children[spec.name] = child
            self._spawn(child)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
                self._thread.start()

    def pid(self, name: str) -> int | None:
        """The process id of a running child, or None."""
        with self._lock:
            process = self._children[name].process
            return process.pid if process is not None and process.poll() is None else None

    def names(self) -> tuple[str, ...]:
        """Every supervised process."""
        with self._lock:
            return tuple(self._children)

    def deaths(self, name: str) -> int:
        """How often a process died unasked."""
        with self._lock:
            return self._children[name].deaths

    def kill(self, name: str) -> bool:
        """SIGKILL a child, as a fault would; it is started again.

        Returns:
            Whether there was a running process to kill.
        """
        with self._lock:
            process = self._children[name].process
            if process is None or process.poll() is not None:
                return False
            process.kill()
            return True

    def check(self) -> None:
        """Raise if a process has been given up.

        Raises:
            ProcessFailed: with the end of its log.
        """
        with self._lock:
            for child in self._children.values():
                if child.process is None and child.starts > self._max_restarts:
                    raise ProcessFailed(f"{child.spec.name} keeps ending:\n{self._tail(child.spec.name)}")

    def stop(self, timeout_s: float = 20.0) -> None:
        """End every process: SIGTERM, then SIGKILL after ``timeout_s`` seconds, to their children too."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        with self._lock:
            running = [child for child in self._children.values() if child.process is not None]
            for child in running:
                assert child.process is not None
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
            deadline = time.monotonic() + timeout_s
            for child in running:
                assert child.process is not None
                if not _ended(child.process, deadline):
                    _log.warning("%s did not end by itself", child.spec.name)
                # Whatever it has started and left goes with it. Until it is waited for, the number of its
                # process group belongs to nobody else.
                if child.process.returncode is None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
                self._close(child)
            self._children.clear()

    def _spawn(self, child: _Child) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{child.spec.name}.log"
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        child.log = path.open("ab")
        environment = dict(os.environ)
        if child.starts == 0:
            environment |= child.spec.environment
        child.process = subprocess.Popen(
            list(child.spec.command),
            stdin=subprocess.PIPE,
            stdout=child.log,
            stderr=subprocess.STDOUT,
            env=environment,
            # Ctrl-C in a terminal reaches the supervisor alone, which then ends its children in order.
            start_new_session=True,
        )
        child.starts += 1
        child.started = time.monotonic()

    def _watch(self) -> None:
        while not self._stopping.wait(0.02):
            with self._lock:
                if self._stopping.is_set():
                    return
                for child in self._children.values():
                    self._look_at(child)

    def _look_at(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            self._close(child)
            child.process = None
            child.deaths += 1
            if now - child.started > 2.0:
                child.starts = 1  # it had run: a fresh series of restarts
            child.not_before = now + self._backoff * 2 ** min(child.starts - 1, 6)
            reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
            _log.info("%s ended (%s); it is started again", child.spec.name, reason)
            self.on_death(child.spec.name, code)
        elif now >= child.not_before and child.starts <= self._max_restarts:
            self._spawn(child)

    def _tail(self, name: str) -> str:
        path = self._logs / f"{name}.log"
        return path.read_bytes()[-2000:].decode(errors="replace") if path.exists() else ""

    @staticmethod
    def _close(child: _Child) -> None:
        if child.process is not None and child.process.stdin is not None:
            child.process.stdin.close()
        if child.log is not None:
            child.log.close()


def _ended(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for a child's end, at most until ``deadline``, and leave it to be waited for; whether it ended."""
    while process.returncode is None:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
