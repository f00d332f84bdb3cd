"""What a thread that follows a chain does while the chain does not answer."""

from __future__ import annotations

import logging
import threading
from typing import Final

from ledger.errors import LedgerError

__all__ = ["FaultSeries"]

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


class FaultSeries:
    """One fault after another: each is logged once, and the pauses between attempts grow.

    Args:
        log: where it is told.
        chain: which does not answer.
    """

    def __init__(self, log: logging.Logger, chain: str) -> None:
        self._log = log
        self._chain = chain
        self._told = ""
        self._pause = 0.0

    def met(self, fault: LedgerError, stop: threading.Event) -> None:
        """Tell the fault, and wait before the next attempt."""
        if str(fault) != self._told:
            self._told = str(fault)
            self._log.warning("%s: %s", self._chain, fault)
        self._pause = min(_LONGEST_PAUSE_S, self._pause * 2 or _FIRST_PAUSE_S)
        stop.wait(self._pause)

    def over(self) -> None:
        """The chain answered."""
        if self._pause:
            self._log.info("%s answers again", self._chain)
        self._told, self._pause = "", 0.0
