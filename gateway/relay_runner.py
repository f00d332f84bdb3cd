"""Runs the relay: reads chains, feeds the state machine, submits what it says.

Thin by intent: every decision is in ``gateway.relay``; every truth is on the chains. The runner's own files
are the element indexes, which are caches of the chains.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from accumulator import AccumulatorError
from chaincode.api import AcceptAnchor, CutStatus, FixCut, GetCut, GetHeads, GetSource
from gateway.relay import (
    AcceptedSeen,
    BlocksSeen,
    Carry,
    Command,
    CutSeen,
    FixNextCut,
    Outcome,
    QuorumSeen,
    Relay,
    RelayPolicy,
    RollbackSeen,
    Tick,
)
from identity import IdentityError, verify_ecdsa
from ledger.errors import ContractRefused, LedgerError
from ledger.index import ChainIndex
from ledger.port import Ledger, call, evaluate_typed
from ledger.proof_errors import ChainDiverged, NotIndexed
from protocol.anchors import AnchorSignature, AnchorStatement, Roster, SignedStatement
from protocol.elements import is_news, views

__all__ = ["RelayChain", "RelayRunner"]

_log = logging.getLogger(__name__)

# What the contracts answer when another relay, or this one before it died, was there first.
_ALREADY_DONE = frozenset({"already-anchored", "already-cut"})


@dataclass(frozen=True)
class RelayChain:
    """One chain as the relay uses it."""

    ledger: Ledger
    index: ChainIndex


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
        self._main = main
        self._chains = dict(chains)
        self.relay = Relay(main, tuple(sorted(set(chains) - {main})), policy)
        self._clock = clock
        self._cursor: dict[str, int] = {}
        self._pending: list[tuple[Command, Future[bool]]] = []
        # A chain that does not answer must not hold up the others: one worker a chain.
        self._pool = ThreadPoolExecutor(max_workers=len(self._chains), thread_name_prefix="relay")
        self.submissions = 0
        """Submissions that were started so far, over all chains."""

    def step(self) -> bool:
        """Read what is new, collect outcomes, start what is due.

        Returns:
            Whether anything happened or is under way.
        """
        moved = False
        for chain in self._chains:
            try:
                moved |= self._read(chain)
            except ChainDiverged as error:
                self._halt(chain, str(error))
            except LedgerError as error:
                _log.warning("cannot read %s: %s", chain, error)
        finished = [(command, future) for command, future in self._pending if future.done()]
        self._pending = [entry for entry in self._pending if not entry[1].done()]
        for command, future in finished:
            self.relay.feed(Outcome(command, future.result(), self._clock()))
        for command in self.relay.feed(Tick(self._clock())):
            self.submissions += 1
            self._pending.append((command, self._pool.submit(self._carry_out, command)))
        return moved or bool(finished) or bool(self._pending)

    def run(self, stop: threading.Event, poll_s: float = 0.05) -> None:
        """Step until ``stop`` is set; the chains are polled every ``poll_s`` seconds."""
        while not stop.is_set():
            # Work under way is looked at sooner: an anchor takes several submissions one after the other.
            busy = self.step()
            stop.wait(poll_s / 5 if busy else poll_s)
        self.close()

    def close(self) -> None:
        """Wait for the submissions under way."""
        self._pool.shutdown(wait=True)

    def _read(self, chain: str) -> bool:
        part = self._chains[chain]
        if chain not in self._cursor:
            part.index.sync()
            # Before the newest cut all is settled: news counts from the block that carries the cut.
            statements = part.index.statements()
            self._cursor[chain] = statements[-1].height if statements else 0
        if part.ledger.information().height == self._cursor[chain]:
            return False
        part.index.sync()
        for block in part.ledger.blocks(self._cursor[chain]):
            if block.header.number >= part.index.height:
                break  # newer than what the index knows: a cut in it would go unseen
            elements = views(block)
            if any(element.function == FixCut.FUNCTION and element.code == 0 for element in elements):
                for cut in part.index.statements():
                    if cut.height == block.header.number:
                        self.relay.feed(CutSeen(chain, cut.number))
            news = sum(is_news(element, main=chain == self._main) for element in elements)
            self._cursor[chain] = block.header.number + 1
            self.relay.feed(BlocksSeen(chain, news, self._clock()))
        self._read_cut(chain)
        self._read_heads(chain)
        return True

    def _read_cut(self, chain: str) -> None:
        """Feed the newest quorum: the last cut's, or the one before it (a cut needs its predecessor's)."""
        part = self._chains[chain]
        status = evaluate_typed(part.ledger, GetCut(number=0))
        own = _statement(part.index, status.number)
        if own is None:
            return
        if any(statement != own for statement in status.statements):
            _log.error("%s: statements that differ were signed for anchor %d", chain, status.number)
        roster = evaluate_typed(part.ledger, GetSource(chain=chain)).roster
        reached = len(_signatures_over(own, status, roster)) >= roster.threshold
        self.relay.feed(QuorumSeen(chain, status.number if reached else status.number - 1))

    def _read_heads(self, holder: str) -> None:
        """Feed what ``holder`` holds; a chain behind or beside its own remote anchor is relayed no more."""
        for head in evaluate_typed(self._chains[holder].ledger, GetHeads()).heads:
            if head.chain not in self._chains:
                continue
            index = self._chains[head.chain].index
            own = _statement(index, head.number)
            if own is None:
                index.sync()
                own = _statement(index, head.number)
            if own is None:
                self._halt(head.chain, f"{holder} holds its anchor {head.number}, which it has not reached")
            elif own.digest() != head.statement:
                self._halt(head.chain, f"its anchor {head.number} is not the one that {holder} holds")
            self.relay.feed(AcceptedSeen(holder, head.chain, head.number))

    def _halt(self, chain: str, why: str) -> None:
        _log.error("relay refuses %s: %s", chain, why)
        self.relay.feed(RollbackSeen(chain, why))

    def _carry_out(self, command: Command) -> bool:
        try:
            match command:
                case FixNextCut(chain, number):
                    call(self._chains[chain].ledger, FixCut(number=number))
                case Carry(holder, chain, number):
                    call(self._chains[holder].ledger, self._signed(holder, chain, number))
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
        signatures = _signatures_over(own, status, roster)[: roster.threshold]
        return AcceptAnchor(SignedStatement(own, signatures), part.index.append_only(number))


def _statement(index: ChainIndex, number: int) -> AnchorStatement | None:
    try:
        return index.statement(number)
    except NotIndexed:
        return None


def _signatures_over(
    statement: AnchorStatement, status: CutStatus, roster: Roster
) -> tuple[AnchorSignature, ...]:
    """The cut's signatures that hold over ``statement`` under ``roster``, sorted by organisation."""
    valid: dict[str, AnchorSignature] = {}
    for signature in status.signatures:
        key = roster.keys.get(signature.msp_id)
        if key is None:
            continue
        try:
            verify_ecdsa(key, statement.signing_bytes(), signature.signature)
        except IdentityError:
            continue
        valid[signature.msp_id] = signature
    return tuple(valid[msp_id] for msp_id in sorted(valid))
