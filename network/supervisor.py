"""A small honest supervisor: starts processes, restarts those that die, ends them all.

What becomes of the processes when the supervisor itself is killed is decided by whether it keeps records:

- Without records, every child holds the reading end of a pipe whose writing end only the supervisor has. When
  the supervisor is gone, however it went, the pipe closes and the child ends itself (as ``edgeproof serve
  --with-parent`` does). This suits services that somebody runs in a terminal.
- With records, the children go on without it: a chain must not stop because its keeper did. Fabric's programs
  could not watch a pipe anyway, and a death signal (prctl's PR_SET_PDEATHSIG) would end a whole network for
  one killed process, and is tied to the thread that forked. So each child is written down before it runs, and
  the next supervisor adopts it or ends it by its record. No process ever runs unrecorded: a child waits
  behind a gate, a shell that becomes the program only once a line arrives and ends if the pipe closes first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from network.child import Child, ProcessSpec, ProcessState, Running, digest_of, own_child, readable, reason
from network.errors import ProcessFailed
from network.logs import tail, turn_over
from network.records import Record, Records

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)
_ROTATION_S = 5.0
_TAIL_LINES = 20
_YOUNG_S = 2.0
_KILL_S = 10.0
_GATE = 'read -r _ && exec "$@" < /dev/null'


class Supervisor:
    """Keeps a set of processes running until ``stop``.

    Args:
        logs: folder for one log file a process (appended; turned over at 8 MiB, three old ones are kept).
        records: where running processes are written down; None ties them to this process's life.
        host: host of the topology, for the records.
        environment: what every process gets; None for all that this process has.
        backoff_s: pause before the first restart, doubled while a process keeps dying young, seconds.
        max_backoff_s: longest pause, seconds.
        max_restarts: give up on a process that died this often within its first two seconds, in a row; None
            never gives up.
    """

    def __init__(
        self,
        logs: Path,
        *,
        records: Records | None = None,
        host: str = "local",
        environment: Mapping[str, str] | None = None,
        backoff_s: float = 0.1,
        max_backoff_s: float = 10.0,
        max_restarts: int | None = 8,
    ) -> None:
        self._logs = logs
        self._records = records
        self._host = host
        self._environment = environment
        self._backoff = backoff_s
        self._max_backoff = max_backoff_s
        self._max_restarts = max_restarts
        self._children: dict[str, Child] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.on_death: Callable[[str, int | None], None] = lambda name, code: None
        """Called with a process's name and its return code whenever it died unasked."""

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, spec: ProcessSpec) -> None:
        """Start a process and keep it running.

        A supervisor that never gives up tries again later where the system refuses to start it.

        Raises:
            ProcessFailed: one of this name is supervised, or the system refuses to start it.
        """
        with self._lock:
            self._enter(child := Child(spec))
            try:
                self._spawn(child)
            except OSError as error:
                if self._max_restarts is None:
                    self._put_off(child, error)
                    return
                del self._children[spec.name]
                raise ProcessFailed(f"{spec.name} cannot be started: {error}") from error

    def adopt(self, record: Record) -> bool:
        """Look after a process that an earlier supervisor started.

        Returns:
            Whether it still runs.

        Raises:
            ProcessFailed: one of this name is supervised.
        """
        with self._lock:
            descriptor = record.process.open()
            if descriptor is None:
                return False
            spec = ProcessSpec(record.name, record.command, record.environment, record.reads)
            child = Child(spec, starts=1, read=record.read)
            child.running = Running(record.process, descriptor)
            self._enter(child)
            return True

    def pid(self, name: str) -> int | None:
        """The process id of a running child, or None."""
        with self._lock:
            running = self._children[name].running
            return running.process.pid if running is not None and not running.ended() else None

    def names(self) -> tuple[str, ...]:
        """Every supervised process."""
        with self._lock:
            return tuple(self._children)

    def spec(self, name: str) -> ProcessSpec:
        """What a supervised process was started as."""
        with self._lock:
            return self._children[name].spec

    def differs(self, spec: ProcessSpec) -> bool:
        """Whether a supervised process would run otherwise if it were started as ``spec`` now."""
        with self._lock:
            child = self._children[spec.name]
            return _identity(spec) != _identity(child.spec) or digest_of(spec.reads) != child.read

    def deaths(self, name: str) -> int:
        """How often a process died unasked."""
        with self._lock:
            return self._children[name].deaths

    def states(self) -> list[ProcessState]:
        """How every supervised process is doing."""
        with self._lock:
            return [self._state(child) for child in self._children.values()]

    def kill(self, name: str) -> bool:
        """SIGKILL a child, as a fault would; it is started again.

        Returns:
            Whether there was a running process to kill.
        """
        with self._lock:
            running = self._children[name].running
            if running is None or running.ended():
                return False
            running.signal(signal.SIGKILL)
            return True

    def check(self) -> None:
        """Raise if a process has been given up.

        Raises:
            ProcessFailed: with the end of its log.
        """
        with self._lock:
            for child in self._children.values():
                if self._state(child).state == "given up":
                    raise ProcessFailed(f"{child.spec.name} keeps ending:\n{self.tail(child.spec.name)}")

    def end(self, names: Iterable[str], timeout_s: float = 20.0) -> None:
        """End some processes and supervise them no longer; all at once, as ``stop`` does.

        Raises:
            ProcessFailed: one outlives SIGKILL; it stays supervised, and recorded.
        """
        with self._lock:
            taken = [self._children.pop(name) for name in names if name in self._children]
        self._end(taken, timeout_s)

    def stop(self, timeout_s: float = 20.0) -> None:
        """End every process: SIGTERM, then SIGKILL after ``timeout_s`` seconds, to their children too.

        Raises:
            ProcessFailed: as ``end``.
        """
        self._stopping.set()
        if self._thread is not None:
            os.eventfd_write(self._alarm, 1)
            self._thread.join()
            self._thread = None
        try:
            self.end(self.names(), timeout_s)
        finally:
            if self._alarm >= 0:
                os.close(self._alarm)
                self._alarm = -1

    def tail(self, name: str) -> str:
        """The end of a process's log."""
        path = self._logs / f"{name}.log"
        return "\n".join(tail(path, _TAIL_LINES)) if path.exists() else ""

    def _enter(self, child: Child) -> None:
        if child.spec.name in self._children:
            raise ProcessFailed(f"{child.spec.name} is already supervised")
        self._children[child.spec.name] = child
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._thread.start()
        os.eventfd_write(self._alarm, 1)

    def _spawn(self, child: Child) -> None:
        spec = child.spec
        self._logs.mkdir(parents=True, exist_ok=True)
        base = os.environ if self._environment is None else self._environment
        read = digest_of(spec.reads)
        log = (self._logs / f"{spec.name}.log").open("ab")
        try:
            process = subprocess.Popen(
                list(spec.command)
                if self._records is None
                else ["/bin/sh", "-c", _GATE, spec.name, *spec.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**base, **spec.environment},
                # Ctrl-C in a terminal reaches the supervisor alone, which then ends its children in order.
                start_new_session=True,
            )
        except OSError:
            log.close()
            raise
        # Nobody else reaps a child: until then its number is its own, and so is the descriptor.
        child.running = Running(own_child(process.pid), os.pidfd_open(process.pid), process, log)
        child.read = read
        if self._records is not None:
            try:
                self._open_gate(child, child.running, self._records)
            except OSError:
                child.running.signal(signal.SIGKILL)
                child.running.forget()
                child.running = None
                raise
        child.starts += 1
        child.started = time.monotonic()

    def _open_gate(self, child: Child, running: Running, records: Records) -> None:
        """Write a waiting process down, then let it become its program."""
        spec = child.spec
        records.write(
            Record(
                name=spec.name,
                kind="node",
                host=self._host,
                process=running.process,
                command=tuple(spec.command),
                environment=dict(spec.environment),
                since=time.time(),
                reads=tuple(spec.reads),
                read=child.read,
            )
        )
        assert running.child is not None
        assert running.child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            running.child.stdin.write(b"\n")
            running.child.stdin.close()

    def _watch(self) -> None:
        next_rotation = time.monotonic() + _ROTATION_S
        while True:
            with self._lock:
                watched = [
                    child.running.descriptor for child in self._children.values() if child.running is not None
                ]
                waiting = [child for child in self._children.values() if self._due(child)]
            wake = min([next_rotation, *(child.not_before for child in waiting)])
            readable([self._alarm, *watched], max(0.0, wake - time.monotonic()))
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._alarm)
            with self._lock:
                if self._stopping.is_set():
                    return
                for child in self._children.values():
                    self._look_at(child)
                if time.monotonic() >= next_rotation:
                    next_rotation = time.monotonic() + _ROTATION_S
                    for name in self._children:
                        turn_over(self._logs / f"{name}.log")

    def _look_at(self, child: Child) -> None:
        now = time.monotonic()
        if child.running is not None:
            if not child.running.ended():
                return
            code = child.running.forget()
            child.running = None
            child.deaths += 1
            # It had run: a fresh series of restarts.
            child.young = child.young + 1 if now - child.started <= _YOUNG_S else 0
            pause = self._backoff * 2.0 ** max(0, min(child.young - 1, 16))
            child.not_before = now + min(pause, self._max_backoff)
            child.last_end = reason(code)
            _log.info("%s ended (%s); it is started again", child.spec.name, child.last_end)
            self.on_death(child.spec.name, code)
        elif self._due(child) and now >= child.not_before:
            try:
                self._spawn(child)
            except OSError as error:
                self._put_off(child, error)

    def _put_off(self, child: Child, error: OSError) -> None:
        """The disk is full, or there are too many processes: both pass."""
        child.young += 1
        child.last_end = f"not started: {error}"
        pause = min(self._backoff * 2.0 ** min(child.young, 16), self._max_backoff)
        child.not_before = time.monotonic() + pause
        _log.warning("%s is %s; tried again in %.1f s", child.spec.name, child.last_end, pause)

    def _due(self, child: Child) -> bool:
        """Whether the process is down and shall be started again."""
        return child.running is None and (self._max_restarts is None or child.young <= self._max_restarts)

    def _state(self, child: Child) -> ProcessState:
        if child.running is not None and not child.running.ended():
            state, pid = "running", child.running.process.pid
        else:
            state = "restarting" if child.running is not None or self._due(child) else "given up"
            pid = None
        return ProcessState(child.spec.name, state, pid, child.deaths, child.young, child.last_end)

    def _end(self, children: Sequence[Child], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        hanging: list[str] = []
        for child in children:
            if child.running is not None:
                child.running.signal(signal.SIGTERM)
        for child in children:
            running = child.running
            if running is None:
                continue
            if not readable([running.descriptor], max(0.0, deadline - time.monotonic())):
                _log.warning("%s did not end by itself", child.spec.name)
            # Whatever it has started and left goes with it. Until a child is waited for, the number of its
            # process group belongs to nobody else; of an adopted process that cannot be known.
            if running.child is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.process.pid, signal.SIGKILL)
            running.signal(signal.SIGKILL)
            if not readable([running.descriptor], _KILL_S):
                # Neither waited for without end nor forgotten.
                with self._lock:
                    self._children[child.spec.name] = child
                hanging.append(f"{child.spec.name} (process {running.process.pid})")
                continue
            running.forget()
            if self._records is not None:
                self._records.remove(child.spec.name, running.process)
        if hanging:
            raise ProcessFailed(f"{', '.join(hanging)}: cannot be ended, hanging in the kernel")


def _identity(spec: ProcessSpec) -> tuple[list[str], dict[str, str], list[str]]:
    return list(spec.command), dict(spec.environment), list(spec.reads)
