"""Runs machines in a process, one after the other in small pieces, until all are finished or it must stop."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.errors import CorruptLedger, LedgerError
from ledger.proof_errors import ChainDiverged
from store.errors import StoreError
from training.errors import InvalidRecipe, TrainingError, WorkerStopped
from training.machine import Advance, Done, Finished, Machine, Waiting

__all__ = ["Event", "Faulted", "Runner"]

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_JITTER: Final = random.SystemRandom()
_FATAL: Final = (CorruptLedger, ChainDiverged, InvalidRecipe)
"""Nothing that waiting mends."""


@dataclass(frozen=True)
class Faulted:
    """Something did not work out and will be tried again."""

    reason: str


Event = Advance | Faulted
Progress = Callable[[Machine, Event], None]


class Runner:
    """Drives machines.

    Args:
        machines: of one process; a process may serve several roles and chains.
        stop: when set, ``run`` returns after the piece of work at hand (a worker's task is killed).
        progress: told of everything that was done, of faults, and once of each new reason to wait.
        poll_s: longest wait for a new block before looking again.
    """

    def __init__(
        self,
        machines: Sequence[Machine],
        stop: threading.Event,
        *,
        progress: Progress | None = None,
        poll_s: float = 0.5,
    ) -> None:
        self._machines = list(machines)
        self._stop = stop
        self._progress = progress
        self._poll_s = poll_s
        self._last: dict[int, Event] = {}
        self._pauses: dict[int, float] = {}

    def run(self) -> bool:
        """Drive until every machine is finished or ``stop`` is set.

        Returns:
            Whether every machine is finished.

        Raises:
            CorruptLedger, ChainDiverged, InvalidRecipe: what no waiting mends.
        """
        unfinished = list(self._machines)
        while unfinished and not self._stop.is_set():
            height = _height(unfinished[0])
            busy = False
            for machine in list(unfinished):
                if self._stop.is_set():
                    return False
                event = self._advance(machine)
                self._tell(machine, event)
                busy = busy or isinstance(event, Done)
                if isinstance(event, Finished):
                    unfinished.remove(machine)
            if unfinished and not busy:
                self._rest(unfinished, height)
        return not unfinished

    def _advance(self, machine: Machine) -> Event:
        try:
            event = machine.advance()
        except _FATAL:
            raise
        except WorkerStopped:
            return Waiting("the process stops")
        except (LedgerError, StoreError, TrainingError) as error:
            _log.warning("%s: %s: %s", machine.name, type(error).__name__, error)
            pause = self._pauses.get(id(machine), _FIRST_PAUSE_S)
            self._pauses[id(machine)] = min(pause * 2, _LONGEST_PAUSE_S)
            return Faulted(f"{type(error).__name__}: {error}")
        self._pauses.pop(id(machine), None)
        return event

    def _tell(self, machine: Machine, event: Event) -> None:
        if self._progress is not None and self._last.get(id(machine)) != event:
            self._progress(machine, event)
        self._last[id(machine)] = event

    def _rest(self, machines: Sequence[Machine], height: int | None) -> None:
        """Until the first machine's chain moves, or a pause that grows with repeated faults."""
        pauses = [self._pauses[id(machine)] for machine in machines if id(machine) in self._pauses]
        if pauses:
            # Spread out, so that processes that failed together do not come back together.
            self._stop.wait(max(pauses) * _JITTER.uniform(0.5, 1.0))
            return
        if height is not None and len(machines) == 1:
            with contextlib.suppress(LedgerError):  # the next round meets it again and says so
                machines[0].ledger.wait(height, self._poll_s)
        else:
            self._stop.wait(self._poll_s / 4)


def _height(machine: Machine) -> int | None:
    """Where the machine's chain stands before it looks; None where the chain does not answer."""
    try:
        return machine.ledger.information().height
    except LedgerError:
        return None
