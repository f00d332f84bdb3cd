"""Runs the relay: readers feed the state machine, submissions carry out what it says.

Thin by intent: every decision is in ``gateway.relay``; every truth is on the chains. The runner's own files
are the element indexes, which are caches of the chains.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final

from accumulator import AccumulatorError
from chaincode.api import AcceptAnchor, FixCut, GetCut, GetSource
from gateway.relay import AcceptedSeen, Carry, Command, Event, FixNextCut, Outcome, Relay, RelayPolicy, Tick
from gateway.relay_reader import ChainReader, RelayChain, signatures_over
from ledger.errors import ContractRefused, LedgerError
from ledger.port import call, evaluate_typed
from protocol.anchors import LatestAnchor, SignedStatement

__all__ = ["RelayChain", "RelayRunner"]

_log = logging.getLogger(__name__)

# What the contracts answer when another relay, or this one before it died, was there first.
_ALREADY_DONE: Final = frozenset({"already-anchored", "already-cut"})
_SUBMIT_S: Final = 10.0
_FIRST_LOOK_S: Final = 10.0
_LONGEST_REST_S: Final = 0.5
"""How late the runner may notice that it is to stop."""


class RelayRunner:
    """Feeds one ``Relay`` from the chains and carries out its commands.

    Args:
        main: chain id of main.
        chains: every chain, main included.
        policy: when to anchor.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        main: str,
        chains: Mapping[str, RelayChain],
        policy: RelayPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chains = dict(chains)
        self.relay = Relay(main, tuple(sorted(set(chains) - {main})), policy)
        self._clock = clock
        self._inbox: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._readers = {
            chain: ChainReader(part, self._inbox.put, self._claim, clock) for chain, part in chains.items()
        }
        # At most a cut and two chains' worth of anchors are under way a chain: a chain that does not answer
        # must not hold up the others' submissions.
        self._pool = ThreadPoolExecutor(max_workers=3 * len(self._chains), thread_name_prefix="relay")
        self._pending: set[Future[None]] = set()
        self.submissions = 0
        """Submissions that were started so far, over all chains."""

    def step(self) -> bool:
        """Read every chain once, here and now; feed what happened; start what is due.

        Returns:
            Whether anything happened or is under way.
        """
        moved = False
        for chain, reader in self._readers.items():
            try:
                moved |= reader.read()
            except LedgerError as error:
                _log.warning("cannot read %s: %s", chain, error)
        moved |= self._feed(0.0)
        self._submit_due()
        return moved or bool(self._pending)

    def run(self, stop: threading.Event) -> None:
        """Relay until ``stop`` is set: a thread a chain reads, blocks and outcomes wake this one."""
        threads = [
            threading.Thread(target=self._follow, args=(reader, stop), name=f"reader-{chain}", daemon=True)
            for chain, reader in self._readers.items()
        ]
        for thread in threads:
            thread.start()
        try:
            self._first_look(stop)
            while not stop.is_set():
                self._submit_due()
                due = self.relay.wake_at()
                rest = _LONGEST_REST_S if due is None else min(_LONGEST_REST_S, due - self._clock())
                self._feed(max(0.0, rest))
        finally:
            stop.set()
            for thread in threads:
                thread.join(timeout=_LONGEST_REST_S)
            self.close()

    def close(self) -> None:
        """Wait for the submissions under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _first_look(self, stop: threading.Event) -> None:
        """Know what every chain holds of the others before anything is submitted, as far as they answer."""
        end = self._clock() + _FIRST_LOOK_S
        # What one chain holds is a claim on another: a second look settles it.
        for reader in (*self._readers.values(), *self._readers.values()):
            while not stop.is_set() and not reader.looked(0.05) and self._clock() < end:
                self._feed(0.0)

    def _follow(self, reader: ChainReader, stop: threading.Event) -> None:
        try:
            reader.follow(stop)
        except Exception as error:
            self._inbox.put(error)

    def _claim(self, holder: str, head: LatestAnchor) -> None:
        if head.chain in self._readers:
            self._readers[head.chain].hold(holder, head)

    def _feed(self, timeout: float) -> bool:
        """Feed everything that came in; wait for something at most ``timeout`` seconds; whether it did."""
        fed = False
        while True:
            try:
                event = self._inbox.get(timeout=timeout) if timeout > 0 else self._inbox.get_nowait()
            except queue.Empty:
                return fed
            if isinstance(event, BaseException):
                raise event
            timeout, fed = 0.0, True
            if isinstance(event, AcceptedSeen) and event.chain not in self._chains:
                continue
            self.relay.feed(event)

    def _submit_due(self) -> None:
        self._pending = {future for future in self._pending if not future.done()}
        for command in self.relay.feed(Tick(self._clock())):
            self.submissions += 1
            self._pending.add(self._pool.submit(self._report, command))

    def _report(self, command: Command) -> None:
        try:
            done = self._carry_out(command)
        except Exception as error:
            self._inbox.put(error)
        else:
            self._inbox.put(Outcome(command, done, self._clock()))

    def _carry_out(self, command: Command) -> bool:
        submit = partial(call, timeout=_SUBMIT_S)
        try:
            match command:
                case FixNextCut(chain, number):
                    submit(self._chains[chain].ledger, FixCut(number=number))
                    _log.debug("%s: fixed cut %d", chain, number)
                case Carry(holder, chain, number):
                    submit(self._chains[holder].ledger, self._signed(holder, chain, number))
                    _log.info("%s: anchor %d is held by %s", chain, number, holder)
        except ContractRefused as error:
            if error.code not in _ALREADY_DONE:
                _log.warning("%s: refused: %s", command, error)
                return False
        except (LedgerError, AccumulatorError) as error:
            _log.warning("%s: %s", command, error)
            return False
        return True

    def _signed(self, holder: str, chain: str, number: int) -> AcceptAnchor:
        part = self._chains[chain]
        own = part.index.statement(number)
        roster = evaluate_typed(self._chains[holder].ledger, GetSource(chain=chain)).roster
        status = evaluate_typed(part.ledger, GetCut(number=number))
        signatures = signatures_over(own, status, roster)[: roster.threshold]
        return AcceptAnchor(SignedStatement(own, signatures), part.index.append_only(number))
