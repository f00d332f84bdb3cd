"""Failpoints: a process that kills itself, as by ``kill -9``, at a named point of its work (tests only).

The points lie at the borders that matter: before and after each submission to a chain and each durable write
to a store. They are put around the ports when ``EDGEPROOF_FAILPOINT`` is set; the product's code knows
nothing of them. Names: ``before:records:submitBatch``, ``after:interlock:accept``, ``before:store:put_pack``,
``after:store:put_tree``; ``…:3`` waits for the third visit.

``@folder`` instead of a name arms a process again in each of its lives: the file ``folder/<process>`` lists
points, one a line, and each is struck out when it is reached (``FailpointQueue``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from chaincode.api import Message
from ledger.port import ChainInformation, Ledger, Receipt, TransactionStatus
from store import Store

__all__ = ["Failpoint", "FailpointQueue", "FaultyLedger", "FaultyStore", "arm"]

T = TypeVar("T")

_WHEN: Final = ("before", "after")
_GROUP: Final = "all"


class Failpoint:
    """Counts visits of one named point and kills the process at the n-th.

    Args:
        text: ``when:name`` or ``when:name:n``; ``when`` is ``before`` or ``after``. With ``all:`` in front
            the whole process group ends, as when a machine loses its power; otherwise this process alone.
        kill: what happens there instead.
        claim: asked first; answers whether this process is to die there at all.

    Raises:
        ValueError: the text is no failpoint; a misspelt one would never be reached.
    """

    def __init__(
        self, text: str, kill: Callable[[], None] | None = None, *, claim: Callable[[], bool] = lambda: True
    ) -> None:
        group = text.startswith(f"{_GROUP}:")
        head, _, last = (name := text.removeprefix(f"{_GROUP}:")).rpartition(":")
        self._name, count = (head, last) if last.isascii() and last.isdigit() else (name, "1")
        when, _, what = self._name.partition(":")
        if when not in _WHEN or not what or int(count) < 1:
            raise ValueError(f"no failpoint: {text!r}")
        self._left = int(count)
        self._lock = threading.Lock()
        self._kill = kill or (_kill_group if group else _kill_process)
        self._claim = claim

    def around(self, name: str, action: Callable[[], T]) -> T:
        """Do ``action``, visiting ``before:name`` and ``after:name``."""
        self._visit(f"before:{name}")
        result = action()
        self._visit(f"after:{name}")
        return result

    def _visit(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0 and self._claim():
                self._kill()


class FailpointQueue:
    """The points at which one process shall die, one in each of its lives.

    A point stands in the file until it is reached. Reaching it is written down (``<process>.reached``, one
    line ``<pid> <point>``), so that whoever watches knows which process died where.

    Args:
        folder: of the queues.
        process: the process's name.
    """

    def __init__(self, folder: Path, process: str) -> None:
        self._path: Final = folder / process
        self._reached: Final = folder / f"{process}.reached"

    def points(self) -> list[str]:
        """What is still to be reached, the next one first."""
        try:
            return self._path.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def fill(self, points: Sequence[str]) -> None:
        """Put these points into the queue, in place of what stood there."""
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        temporary.write_text("".join(f"{point}\n" for point in points))
        temporary.replace(self._path)

    def reached(self) -> list[tuple[int, str]]:
        """Process id and point of every death so far, in order."""
        try:
            lines = self._reached.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [(int(pid), point) for pid, _, point in (line.partition(" ") for line in lines)]

    def arm(self) -> Failpoint | None:
        """The next point, or None when the queue is empty.

        Raises:
            ValueError: it is no failpoint.
        """
        points = self.points()
        if not points:
            return None
        return Failpoint(points[0], claim=lambda: self._claim(points[0]))

    def _claim(self, point: str) -> bool:
        points = self.points()
        if points[:1] != [point]:
            return False  # another life of the same process, that ended late, was here before
        with self._reached.open("a") as file:
            file.write(f"{os.getpid()} {point}\n")
        self.fill(points[1:])
        return True


def arm(setting: str, process: str) -> Failpoint | None:
    """The failpoint that a process is to die at, or None.

    Args:
        setting: a failpoint, ``@folder``, or empty.
        process: the process's name.

    Raises:
        ValueError: the setting is no failpoint.
    """
    if setting.startswith("@"):
        return FailpointQueue(Path(setting[1:]), process).arm()
    return Failpoint(setting) if setting else None


def _kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_group() -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGKILL)


class FaultyLedger:
    """A ledger whose submissions are surrounded by a failpoint."""

    def __init__(self, ledger: Ledger, failpoint: Failpoint) -> None:
        self._ledger = ledger
        self._failpoint = failpoint
        self.chain = ledger.chain

    def submit(self, message: Message, *, timeout: float = 30.0) -> Receipt:
        return self._failpoint.around(message.FUNCTION, lambda: self._ledger.submit(message, timeout=timeout))

    def evaluate(self, message: Message) -> bytes:
        return self._ledger.evaluate(message)

    def blocks(self, start: int) -> Iterator[Any]:
        return self._ledger.blocks(start)

    def wait(self, height: int, timeout: float) -> bool:
        return self._ledger.wait(height, timeout)

    def block(self, number: int) -> Any:
        return self._ledger.block(number)

    def find(self, transaction: str) -> TransactionStatus | None:
        return self._ledger.find(transaction)

    def information(self) -> ChainInformation:
        return self._ledger.information()

    def close(self) -> None:
        self._ledger.close()


class FaultyStore:
    """A store whose writes are surrounded by a failpoint."""

    def __init__(self, store: Store, failpoint: Failpoint) -> None:
        self._store = store
        self._failpoint = failpoint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, data: bytes) -> bytes:
        return self._failpoint.around("store:put", lambda: self._store.put(data))

    def put_pack(self, items: Sequence[bytes]) -> list[bytes]:
        return self._failpoint.around("store:put_pack", lambda: self._store.put_pack(items))

    def put_tree(self, data: bytes) -> bytes:
        return self._failpoint.around("store:put_tree", lambda: self._store.put_tree(data))
