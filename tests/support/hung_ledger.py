"""A ledger that answers no question for blocks until it is let."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any


class HungLedger:
    """Passes on to a ledger; ``asked`` is set once somebody waits for blocks, ``go`` lets all of them."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.chain: str = ledger.chain
        self.asked = threading.Event()
        self.go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def blocks(self, start: int) -> Iterator[Any]:
        self.asked.set()
        assert self.go.wait(60)
        yield from self._ledger.blocks(start)
