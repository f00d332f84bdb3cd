"""Failpoints: a process that kills itself, as by ``kill -9``, at a named point of its work (tests only).

The points lie at the borders that matter: before and after each submission to a chain and each durable write
to a store. They are put around the ports when ``EDGEPROOF_FAILPOINT`` is set; the product's code knows
nothing of them. Names: ``before:records:submitBatch``, ``after:interlock:accept``, ``before:store:put_pack``,
``after:store:put_tree``; ``…:3`` waits for the third visit.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from chaincode.api import Message
from ledger.port import ChainInformation, Ledger, Receipt, TransactionStatus
from store import Store

__all__ = ["Failpoint", "FaultyLedger", "FaultyStore"]

T = TypeVar("T")


class Failpoint:
    """Counts visits of one named point and kills the process at the n-th.

    Args:
        text: ``when:name`` or ``when:name:n``; ``when`` is ``before`` or ``after``.
        kill: what happens there; SIGKILL to this very process.
    """

    def __init__(self, text: str, kill: Callable[[], None] | None = None) -> None:
        head, _, last = text.rpartition(":")
        self._name, count = (head, last) if last.isdigit() else (text, "1")
        self._left = int(count)
        self._lock = threading.Lock()
        self._kill = kill or (lambda: os.kill(os.getpid(), signal.SIGKILL))

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
            if self._left == 0:
                self._kill()


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
