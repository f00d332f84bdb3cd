"""What a deployment still has to do, read from its chains alone."""

from __future__ import annotations

import threading
from typing import Any

from chaincode.api import (
    GetAnchor,
    GetAttestations,
    GetCut,
    GetOutcome,
    GetPublished,
    Message,
    Run,
    State,
    Subject,
)
from edgeproof.wiring import Parts
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from protocol.elements import is_news, views

__all__ = ["Progress"]


class Progress:
    """Looks at every chain; safe for threads.

    Args:
        parts: to read the chains with.
    """

    def __init__(self, parts: Parts) -> None:
        self._ledgers = dict(parts.readers)
        self._main = parts.deployment.plan.main.chain
        self._edges = [edge.chain for edge in parts.deployment.plan.edges]
        self._members = {plan.chain: len(plan.organisations) for plan in parts.deployment.plan.chains}
        self._cursor = dict.fromkeys(self._ledgers, 0)
        self._newest = dict.fromkeys(self._ledgers, -1)
        self._run: Run | None = None
        self._lock = threading.Lock()

    def follow(self, run: Run) -> None:
        """Count this run's rounds as work."""
        self._run = run

    def unanchored(self, chain: str | None = None) -> str:
        """What of a chain (of any chain, when None) is not signed by all or not held; empty: nothing."""
        with self._lock:
            for name in [chain] if chain is not None else list(self._ledgers):
                newest = self._news(name)
                for holder in self._edges if name == self._main else [self._main]:
                    if (height := self._held(holder, name)) <= newest:
                        return f"{holder} holds {name} to block {height}, its news goes to {newest}"
                signed = evaluate_typed(self._ledgers[name], GetCut(0))
                if len(signed.signatures) < self._members[name]:
                    return f"{len(signed.signatures)} signatures under cut {signed.number} of {name}"
            return ""

    def untrained(self) -> str:
        """Which step or version of the run is not voted on, accepted or pushed down; empty: nothing."""
        if self._run is None:
            return ""
        run, last = self._run.run, self._run.rounds
        for version in range(1, last + 1):
            for edge in self._edges:
                if not self._accepted(edge, Subject.STEP, version):
                    return f"step {version} of {edge}"
            if not self._accepted(self._main, Subject.AGGREGATE, version):
                return f"version {version}"
        for edge in self._edges:
            for version in range(1, last + 1):
                if _ask(self._ledgers[edge], GetPublished(run, version)) is None:
                    return f"version {version} on {edge}"
        return ""

    def _accepted(self, chain: str, subject: Subject, number: int) -> bool:
        assert self._run is not None
        outcome = _ask(self._ledgers[chain], GetOutcome(subject, self._run.run, number, 0))
        if outcome is None or outcome.state is not State.ACCEPTED:
            return False
        votes = _ask(self._ledgers[chain], GetAttestations(subject, self._run.run, number, 0))
        # Everybody but the author votes, also after the threshold is met — on main only until then.
        wanted = self._members[chain] - 1
        return votes is not None and (subject is Subject.AGGREGATE or len(votes.attestations) >= wanted)

    def _news(self, chain: str) -> int:
        """Number of the newest block with news; -1 without any."""
        for block in self._ledgers[chain].blocks(self._cursor[chain]):
            number = int(block.header.number)
            if any(is_news(view, main=chain == self._main) for view in views(block)):
                self._newest[chain] = number
            self._cursor[chain] = number + 1
        return self._newest[chain]

    def _held(self, holder: str, chain: str) -> int:
        """How many blocks of a chain the newest anchor covers that a holder holds."""
        signed = _ask(self._ledgers[holder], GetAnchor(chain, 0))
        return 0 if signed is None else int(signed.statement.height)


def _ask(ledger: Ledger, message: Message) -> Any:
    try:
        return evaluate_typed(ledger, message)
    except ContractRefused as refusal:
        if refusal.code != "not-found":
            raise
        return None
