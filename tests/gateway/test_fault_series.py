"""Threads that follow a chain: what they say of one that does not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.relay_reader import ChainReader, RelayChain
from gateway.signer import AnchorSigner
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


def read(ledger: Any, stop: threading.Event) -> None:
    part = RelayChain(ledger, cast(Any, None))
    ChainReader(part, lambda _: None, lambda *_: None, lambda: 0.0).follow(stop)


def sign(ledger: Any, stop: threading.Event) -> None:
    AnchorSigner(ledger, cast(Any, None), cast(Any, None)).run(stop)


@pytest.mark.parametrize("follow", [read, sign])
def test_each_fault_of_a_series_is_told_once(
    follow: Callable[[Any, threading.Event], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stop = threading.Event()
    follow(Failing(["no answer", "no answer", "the disk is full", "the disk is full"], stop), stop)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["edge-a: no answer", "edge-a: the disk is full"]
