"""The runner: drives until all are finished, backs off from faults, stops when told, by signal too."""

from __future__ import annotations

import threading
import time

import pytest

from ledger.errors import CorruptLedger, Unavailable
from ledger.port import ChainInformation
from training.errors import WorkerStopped
from training.machine import Done, Finished, Waiting
from training.runner import Faulted, Runner

DONE = Done("trained", "edge-a", "r", 1)
END = Finished("all")


class Chain:
    """A ledger that counts how often it was waited on."""

    chain = "edge-a"

    def __init__(self) -> None:
        self.waits = 0

    def information(self) -> ChainInformation:
        return ChainInformation("edge-a", 1, b"")

    def wait(self, height: int, timeout: float) -> bool:
        self.waits += 1
        return False


class Script:
    """A machine that does what it is told, in order; the last entry for ever."""

    name = "script"

    def __init__(self, *events) -> None:
        self.ledger = Chain()
        self._events = list(events)
        self.calls = 0

    def advance(self):
        self.calls += 1
        event = self._events.pop(0) if len(self._events) > 1 else self._events[0]
        if isinstance(event, Exception):
            raise event
        return event


def _run(*machines, stop=None):
    told = []
    stop = stop or threading.Event()
    finished = Runner(machines, stop, progress=lambda machine, event: told.append(event), poll_s=0.01).run()
    return finished, told


def test_it_ends_when_everybody_is_finished():
    one, two = Script(DONE, Waiting("x"), END), Script(END)
    finished, told = _run(one, two)
    assert finished
    assert told == [DONE, END, Waiting("x"), END]
    assert two.calls == 1  # who is finished is left alone


def test_it_waits_on_the_chain_only_when_nothing_was_done():
    one = Script(DONE, DONE, Waiting("x"), Waiting("x"), END)
    _, told = _run(one)
    assert one.ledger.waits == 2
    assert told.count(Waiting("x")) == 1  # the same reason is told once


def test_faults_are_told_and_tried_again():
    finished, told = _run(Script(Unavailable("busy"), Unavailable("busy"), DONE, END))
    assert finished
    assert told == [Faulted("Unavailable: busy"), DONE, END]


def test_pauses_grow_with_faults():
    pauses = []

    class Stop(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return super().wait(0)

    stop = Stop()
    _run(Script(*[Unavailable(str(n)) for n in range(9)], END), stop=stop)
    assert len(pauses) == 9
    assert 0.05 <= pauses[0] <= 0.2
    assert 2.5 <= pauses[-1] <= 5.0


def test_what_no_waiting_mends_is_raised():
    with pytest.raises(CorruptLedger):
        _run(Script(CorruptLedger("torn")))


def test_a_programming_fault_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        _run(Script(ZeroDivisionError()))


def test_stop_is_obeyed():
    stop = threading.Event()
    script = Script(DONE, Waiting("x"))
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    finished, _ = _run(script, stop=stop)
    assert not finished
    assert time.monotonic() - began < 2
    stop = threading.Event()
    stop.set()
    assert _run(Script(END), stop=stop) == (False, [])


def test_a_worker_that_was_stopped_is_no_fault():
    stop = threading.Event()

    class Stopping(Script):
        def advance(self):
            stop.set()
            raise WorkerStopped("the process stops")

    finished, told = _run(Stopping(END), stop=stop)
    assert (finished, told) == (False, [Waiting("the process stops")])
