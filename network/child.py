"""One supervised process: what it is, how it is doing, and how it is told apart from any other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from network.records import ProcessId

__all__ = ["Child", "ProcessSpec", "ProcessState", "Running", "digest_of", "own_child", "readable", "reason"]


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to what every process of the supervisor gets."""
    reads: Sequence[str] = ()
    """Files that it reads when it starts, and folders of such: once one has changed, it is outdated."""


@dataclass(frozen=True)
class ProcessState:
    """How one supervised process is doing."""

    name: str
    state: str
    """``running``, ``restarting`` (it died and waits for its next start) or ``given up``."""
    pid: int | None
    deaths: int
    """How often it ended unasked."""
    young_deaths: int
    """How often in a row it ended within its first two seconds."""
    last_end: str
    """The last unasked end, for instance ``SIGKILL`` or ``exit 1``; empty where there was none."""


@dataclass
class Running:
    """A process that was started here (``child``) or adopted, with a pidfd that means it alone."""

    process: ProcessId
    descriptor: int
    child: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None

    def ended(self) -> bool:
        """Whether it runs no more, reaped or not."""
        return bool(readable([self.descriptor], 0.0))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def forget(self) -> int | None:
        """Reap an ended process and let go of everything; its return code, unknown where adopted."""
        code = None
        if self.child is not None:
            code = self.child.wait()
            if self.child.stdin is not None:
                # What the gate was never sent stays in the buffer of a closed pipe.
                with contextlib.suppress(BrokenPipeError):
                    self.child.stdin.close()
        if self.log is not None:
            self.log.close()
        os.close(self.descriptor)
        return code


@dataclass
class Child:
    """What the supervisor knows of one process; times by ``time.monotonic``, seconds."""

    spec: ProcessSpec
    running: Running | None = None
    starts: int = 0
    deaths: int = 0
    young: int = 0
    last_end: str = ""
    not_before: float = 0.0
    started: float = 0.0
    read: str = ""
    """Digest of what it read when it was last started."""


def own_child(pid: int) -> ProcessId:
    """The id of a child of this process; one that has ended already counts as never alive."""
    return ProcessId.of(pid) or ProcessId(pid, -1, "")


def digest_of(reads: Iterable[str]) -> str:
    """Of the names and contents of files; one that is not there, or not to be read, counts as such."""
    digest = hashlib.sha256()
    for name in reads:
        place = Path(name)
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_dir():
                continue
            try:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                content = "-"
            digest.update(f"{path}\n{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def readable(descriptors: Iterable[int], timeout_s: float) -> bool:
    """Whether one of the pidfds' processes has ended (or the alarm was raised) within the time."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000))


def reason(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "unknown, it was adopted"
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-code}"
