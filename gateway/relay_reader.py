"""Reads one chain for the relay, in a thread of its own: a chain that does not answer holds up no other.

A reader touches its own chain alone. What that chain holds of others (its heads) goes to their readers as
claims, which they check against their own blocks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chaincode.api import CutStatus, GetCut, GetHeads, GetSource
from gateway.fault_series import FaultSeries
from gateway.relay import (
    AcceptedSeen,
    BehindSeen,
    BlocksSeen,
    CutSeen,
    Event,
    QuorumSeen,
    RollbackSeen,
)
from identity import IdentityError, verify_ecdsa
from ledger.errors import LedgerError
from ledger.index import ChainIndex
from ledger.port import Ledger, evaluate_typed
from ledger.proof_errors import ChainDiverged, NotIndexed
from protocol.anchors import AnchorSignature, AnchorStatement, LatestAnchor, Roster

__all__ = ["ChainReader", "RelayChain", "signatures_over"]

_log = logging.getLogger(__name__)
_WAIT_S: Final = 0.25
"""Longest wait for a block before claims are looked at."""
_LAG_S: Final = 0.05
_HALTED_S: Final = 2.0


@dataclass(frozen=True)
class RelayChain:
    """One chain as the relay uses it."""

    ledger: Ledger
    index: ChainIndex


class ChainReader:
    """Turns what happens on one chain into the relay's events.

    Args:
        part: the chain; its index is synchronised by this reader alone.
        emit: takes each event, from whichever thread reads.
        claim: takes (holder, head) for each head of another chain that this one holds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        part: RelayChain,
        emit: Callable[[Event], None],
        claim: Callable[[str, LatestAnchor], None],
        clock: Callable[[], float],
    ) -> None:
        self._ledger: Final = part.ledger
        self._index: Final = part.index
        self._chain: Final = part.ledger.chain
        self._emit = emit
        self._claim = claim
        self._clock = clock
        self._looked = threading.Event()
        self._lock = threading.Lock()
        self._claims: dict[str, LatestAnchor] = {}
        """Holder to the newest head of this chain that it is known to hold and that is not checked yet."""
        self._height = -1
        """Of the chain when all of it was looked at."""
        self._anchor = -1
        self._news = 0
        self._heads: dict[str, LatestAnchor] = {}
        """Of others, as told already."""
        self._behind: str | None = None
        self._halted = False

    def hold(self, holder: str, head: LatestAnchor) -> None:
        """Have a claim checked: ``holder`` holds ``head`` of this chain. From any thread."""
        with self._lock:
            self._claims[holder] = head
            self._looked.clear()

    def looked(self, timeout: float) -> bool:
        """Wait until the chain was read and no claim is unchecked; whether so. From any thread."""
        return self._looked.wait(timeout)

    def read(self) -> bool:
        """Emit what is new.

        Returns:
            Whether anything was looked at.

        Raises:
            LedgerError: the chain does not answer; what was missed comes with the next call.
        """
        with self._lock:
            claims = dict(self._claims)
        height = self._ledger.information().height
        if self._halted or (height == self._height and not claims):
            return False
        if height < self._index.height:
            self._tell_behind(f"{self._chain} has {height} blocks where {self._index.height} were read")
            return True
        if height != self._height:
            try:
                self._index.sync()
            except ChainDiverged as error:
                self._halt(str(error))
                return True
            self._read_news()
            # Taken last: whatever fails before is read again.
            settled = self._read_cut()
            self._read_heads()
            self._height = height if settled else -1
        self._check(claims)
        return True

    def follow(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set; a chain that does not answer is asked again, less and less often."""
        faults = FaultSeries(_log, self._chain)
        while not stop.is_set():
            try:
                self.read()
                faults.over()
                if self._halted:
                    stop.wait(_HALTED_S)
                    continue
                if self._height < 0:
                    stop.wait(_LAG_S)  # the peer's state comes a moment after its blocks
                while not self._ledger.wait(self._height, _WAIT_S):
                    if stop.is_set() or self._claims:
                        break
            except LedgerError as error:
                faults.met(error, stop)

    # ------------------------------------------------------------------ inside

    def _read_news(self) -> None:
        anchor, news = self._index.anchor, self._index.news
        if anchor > self._anchor:
            # At the first look older cuts are settled: nothing was submitted for them.
            for number in range(max(self._anchor + 1, anchor if self._anchor < 0 else 1), anchor + 1):
                if number:
                    self._emit(CutSeen(self._chain, number))
            self._anchor, self._news = anchor, 0
        if news > self._news:
            self._emit(BlocksSeen(self._chain, news - self._news, self._clock()))
            self._news = news

    def _read_cut(self) -> bool:
        """Emit the newest quorum: the last cut's, or the one before it (a cut needs its predecessor's).

        Returns:
            Whether the contract's state is as new as the blocks.
        """
        status = evaluate_typed(self._ledger, GetCut(number=0))
        if status.number != self._index.anchor:
            return False
        own = _statement(self._index, status.number)
        if own is None:
            return True  # no cut yet
        if any(statement != own for statement in status.statements):
            _log.error("%s: statements that differ were signed for anchor %d", self._chain, status.number)
        roster = evaluate_typed(self._ledger, GetSource(chain=self._chain)).roster
        reached = len(signatures_over(own, status, roster)) >= roster.threshold
        self._emit(QuorumSeen(self._chain, status.number if reached else status.number - 1))
        return True

    def _read_heads(self) -> None:
        for head in evaluate_typed(self._ledger, GetHeads()).heads:
            if self._heads.get(head.chain) != head:
                self._heads[head.chain] = head
                self._claim(self._chain, head)
                self._emit(AcceptedSeen(self._chain, head.chain, head.number))

    def _check(self, claims: dict[str, LatestAnchor]) -> None:
        """A chain behind or beside its own remote anchor is relayed no more."""
        behind = None
        for holder, head in claims.items():
            own = _statement(self._index, head.number)
            if own is None:
                behind = f"{holder} holds its anchor {head.number}, which it has not reached"
                continue
            if own.digest() != head.statement:
                self._halt(f"its anchor {head.number} is not the one that {holder} holds")
                return
            with self._lock:
                if self._claims.get(holder) == head:
                    del self._claims[holder]
        self._tell_behind(behind)

    def _halt(self, why: str) -> None:
        _log.error("relay refuses %s: %s", self._chain, why)
        self._halted = True
        self._emit(RollbackSeen(self._chain, why))
        self._looked.set()

    def _tell_behind(self, why: str | None) -> None:
        if why != self._behind:
            if why is not None:
                _log.error("relay refuses %s until it has caught up: %s", self._chain, why)
            self._behind = why
            self._emit(BehindSeen(self._chain, why))
        with self._lock:
            if why is not None or not self._claims:
                self._looked.set()


def _statement(index: ChainIndex, number: int) -> AnchorStatement | None:
    try:
        return index.statement(number)
    except NotIndexed:
        return None


def signatures_over(
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
