"""Which process is which: records of running processes that outlive whoever wrote them.

A process id alone says nothing: numbers are used again. A record therefore names a process by its id, the
instant it was started (field 22 of ``/proc/<pid>/stat``, clock ticks since boot; proc(5)) and the boot it
belongs to, and a signal goes through a pidfd (pidfd_open(2)) that was compared with both after it was opened:
nothing is ever sent to a process that only happens to have the number.

Records lie below ``run/`` of a deployment, one file a process. Four kinds of processes have one: the nodes
of a network, the keeper that looks after a host's nodes, every other supervisor over the same deployment, and
each service (a gateway, a relay and so on) that was started by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from network.errors import NetworkError, ProcessFailed

__all__ = ["ProcessId", "Record", "Records", "boot_id", "entered", "register", "working_alone"]

_PROC = Path("/proc")


def boot_id() -> str:
    """What the kernel calls the time since the machine was last started."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class ProcessId:
    """One process, and never another one that was given its number later."""

    pid: int
    started: int
    """Clock ticks between boot and the process's start."""
    boot: str
    """``boot_id`` of the boot that the process belongs to."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The running process with this number; None where there is none (a zombie has ended)."""
        started = _start_time(pid)
        return None if started is None else cls(pid, started, boot_id())

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.boot == boot_id() and _start_time(self.pid) == self.started

    def open(self) -> int | None:
        """A pidfd that refers to this very process, to be closed by the caller; None if it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # Compared after opening: from here on the descriptor can mean nobody else.
        if self.alive:
            return descriptor
        os.close(descriptor)
        return None

    def end(self, timeout_s: float, first: signal.Signals = signal.SIGTERM) -> bool:
        """Send ``first``, and SIGKILL when ``timeout_s`` seconds did not suffice; wait for the end.

        Returns:
            Whether it was running when asked.
        """
        descriptor = self.open()
        if descriptor is None:
            return False
        try:
            for number, patience in ((first, timeout_s), (signal.SIGKILL, 10.0)):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
                if _wait(descriptor, patience):
                    return True
            raise ProcessFailed(f"process {self.pid} cannot be ended (it hangs in the kernel)")
        finally:
            os.close(descriptor)

    def uptime_s(self) -> float:
        """How long it has been running, seconds."""
        now = float((_PROC / "uptime").read_text().split()[0])
        return max(0.0, now - self.started / os.sysconf("SC_CLK_TCK"))

    def memory_bytes(self) -> int:
        """Resident memory, shared pages included; 0 where it has ended meanwhile."""
        try:
            pages = int((_PROC / str(self.pid) / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Record:
    """What is known about one started process."""

    name: str
    kind: str
    """``node``, ``keeper``, ``supervisor`` or ``service``."""
    host: str
    """Host of the topology whose part it belongs to."""
    process: ProcessId
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    since: float = 0.0
    """Wall clock of the start, seconds since 1970; for people."""
    reads: tuple[str, ...] = ()
    """Files and folders that it read when it started."""
    read: str = ""
    """Digest of what they held then."""


class Records:
    """The records of one deployment.

    Args:
        folder: its ``run/``; made (0700) when the first record is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, record: Record) -> None:
        """Keep a record; a reader sees the whole of it or nothing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.folder / f".{record.name}.{os.getpid()}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(record), file)
        temporary.replace(self._path(record.name))

    def read(self, name: str) -> Record | None:
        """One record; None where there is none, none that can be read, or another process's."""
        try:
            found: dict[str, Any] = json.loads(self._path(name).read_bytes())
            process = found["process"]
            if found["name"] != name:
                return None  # a copy under another name: nobody wrote this process down as that one
            return Record(
                name=name,
                kind=str(found["kind"]),
                host=str(found["host"]),
                process=ProcessId(int(process["pid"]), int(process["started"]), str(process["boot"])),
                command=tuple(found["command"]),
                environment=dict(found["environment"]),
                since=float(found["since"]),
                reads=tuple(found.get("reads", ())),
                read=str(found.get("read", "")),
            )
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # Half a record does not arise; one that somebody spoilt says nothing that could be relied on.
            return None

    def all(self, kind: str | None = None) -> list[Record]:
        """Every record (of one kind), dead processes' too, by name."""
        names = sorted(path.name.removesuffix(".json") for path in self.folder.glob("*.json"))
        found = [record for record in map(self.read, names) if record is not None]
        return [record for record in found if kind is None or record.kind == kind]

    def living(self, kind: str | None = None) -> list[Record]:
        """The records whose process runs."""
        return [record for record in self.all(kind) if record.process.alive]

    def remove(self, name: str, process: ProcessId | None = None) -> None:
        """Forget a record; where ``process`` is given, only if it is still that process's."""
        if process is not None:
            found = self.read(name)
            if found is not None and found.process != process:
                return
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{name!r} cannot name a process")
        return self.folder / f"{name}.json"


@contextlib.contextmanager
def register(
    folder: Path,
    name: str,
    command: Sequence[str] = (),
    *,
    host: str = "local",
    kind: str = "supervisor",
) -> Iterator[None]:
    """Enter this process as a supervisor over a deployment for as long as the block lasts.

    ``down`` ends what is entered here first. A second process of the same name is refused: the lock belongs
    to the running process, so a killed one stands in nobody's way.

    Args:
        folder: the deployment's ``run/``.
        name: what it supervises, for instance ``services``.
        command: its command line, for people.
        host: the topology's host.
        kind: ``keeper`` for a keeper.

    Raises:
        ProcessFailed: another one of this name runs.
    """
    records = Records(folder)
    with _lock(folder / f"{name}.lock") as held:
        if not held:
            other = records.read(name)
            who = f"process {other.process.pid}" if other is not None else "another process"
            raise ProcessFailed(
                f"{folder.parent}: {name} is supervised by {who} already; end that one first "
                f"(Ctrl-C there, or `edgeproof network down --root {folder.parent}`)"
            )
        with entered(folder, name, command, host=host, kind=kind):
            yield


@contextlib.contextmanager
def entered(
    folder: Path, name: str, command: Sequence[str] = (), *, host: str = "local", kind: str = "service"
) -> Iterator[None]:
    """Have a record of this process for as long as the block lasts; any number may have the same part.

    Args:
        folder: the deployment's ``run/``.
        name: of this process alone.
        command: its command line, for people.
        host: the topology's host.
        kind: as ``Record.kind``.
    """
    own = ProcessId.of(os.getpid())
    assert own is not None
    records = Records(folder)
    records.write(Record(name, kind, host, own, tuple(command), {}, time.time()))
    try:
        yield
    finally:
        if os.getpid() == own.pid:  # a fork of it ends inside the same block
            records.remove(name, own)


@contextlib.contextmanager
def working_alone(folder: Path, timeout_s: float = 0.0) -> Iterator[None]:
    """Let one command at a time change a network.

    Raises:
        NetworkError: another one is at work and was not done within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        with _lock(folder / "operation.lock") as held:
            if held:
                yield
                return
        if time.monotonic() >= deadline:
            raise NetworkError(f"another command is changing {folder.parent}; try again when it has ended")
        time.sleep(0.1)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Whether the lock was got; the kernel gives it back when this process ends, however it ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _start_time(pid: int) -> int | None:
    """Field 22 of the process's stat; None for no process and for a zombie, which has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    state, *rest = text[text.rindex(")") + 2 :].split()
    return None if state in "ZX" else int(rest[18])


def _wait(descriptor: int, timeout_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000))
