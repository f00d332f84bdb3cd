"""A chain's reader: what it says of a chain that does not answer."""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

import pytest

from gateway.relay_reader import ChainReader, RelayChain
from ledger.errors import Unavailable


class Failing:
    """A chain that answers every question with another fault, and ends who asks after the last."""

    chain = "edge-a"

    def __init__(self, faults: list[str], stop: threading.Event) -> None:
        self.faults, self.stop = faults, stop

    def information(self) -> Any:
        fault = self.faults.pop(0)
        if not self.faults:
            self.stop.set()
        raise Unavailable(fault)


def test_each_fault_of_a_series_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    stop = threading.Event()
    ledger = cast(Any, Failing(["no answer", "no answer", "the disk is full", "the disk is full"], stop))
    part = RelayChain(ledger, cast(Any, None))
    ChainReader(part, lambda _: None, lambda *_: None, lambda: 0.0).follow(stop)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["cannot read edge-a: no answer", "cannot read edge-a: the disk is full"]
