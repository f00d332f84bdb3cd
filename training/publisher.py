"""Pushing down: the run itself, and every accepted version of its model, from main to the edges.

Both are proved by main's anchor that the edge holds, so anybody may carry them and a repeat does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chaincode.api import AdoptRun, PublishModel, Run, Subject
from ledger.proof_errors import Pending
from store.port import Store
from training.chainview import ChainView
from training.crosschain import CrossChainProver
from training.inputs import fetch_tree
from training.machine import Advance, Done, Waiting, submit_once
from training.recipe import roster_of
from training.snapshots import initial_snapshot, tree_hash

__all__ = ["Publisher"]


class Publisher:
    """One main organisation's part in pushing down.

    Args:
        organisation: MSP id.
        main: main as it was read.
        edges: the edges as they were read, by chain; submissions go to their ledgers.
        stores: every chain's store, main's included, by chain.
        prover: proves main's transactions to the edges.
        patience_s: how long the organisation whose turn it is may take before this one does it.
        clock: seconds.
    """

    def __init__(
        self,
        organisation: str,
        main: ChainView,
        edges: Mapping[str, ChainView],
        stores: Mapping[str, Store],
        prover: CrossChainProver,
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._organisation = organisation
        self._main = main
        self._edges = edges
        self._stores = stores
        self._prover = prover
        self._patience_s = patience_s
        self._clock = clock
        self._since: dict[tuple[str, int], float] = {}

    def push_down(self, run: Run, created: str) -> Advance | None:
        """Adopt the run, or publish one accepted version, on one edge.

        Args:
            run: the run.
            created: transaction that created it on main.

        Returns:
            ``Done``, the first reason to wait, or None when nothing is owed at present.

        Raises:
            LedgerError, InputError, store.errors.Unavailable: it did not work out; ask again later.
        """
        waiting: Advance | None = None
        for roster in run.rosters:
            if roster.chain == self._main.ledger.chain:
                continue
            done = self._push_to(run, roster.chain, created)
            if isinstance(done, Done):
                return done
            waiting = waiting or done
        return waiting

    def _push_to(self, run: Run, chain: str, created: str) -> Advance | None:
        view, store = self._edges[chain], self._stores[chain]
        if view.run(run.run) is None:
            if not self._my_turn(run, chain, 0):
                return Waiting(f"{chain} to adopt the run")
            self._keep_initial(run, store)
            return self._carry(chain, run, 0, created, AdoptRun)
        for version in range(1, run.rounds + 1):
            accepted = self._main.accepted(Subject.AGGREGATE, run.run, version)
            if accepted is None:
                return None
            if view.published(run.run, version) is not None:
                continue
            if not self._my_turn(run, chain, version):
                return Waiting(f"version {version} to be published on {chain}")
            if not store.has_tree(accepted.outcome.result):
                store.put_tree(self._from_main(accepted.outcome.result, f"version {version}"))
            return self._carry(chain, run, version, accepted.transaction, PublishModel)
        return None

    def _carry(
        self,
        chain: str,
        run: Run,
        version: int,
        transaction: str,
        kind: type[AdoptRun] | type[PublishModel],
    ) -> Advance:
        try:
            proof = self._prover.cross_chain_proof(self._main.ledger.chain, transaction, holder=chain)
        except Pending as error:
            return Waiting(str(error))
        if submit_once(self._edges[chain].ledger, kind(proof)) is None:
            return Waiting(f"{chain} has it already")
        return Done("adopted" if kind is AdoptRun else "published", chain, run.run, version)

    def _my_turn(self, run: Run, chain: str, version: int) -> bool:
        organisations = roster_of(run, self._main.ledger.chain).organisations
        if organisations[version % len(organisations)] == self._organisation:
            return True
        since = self._since.setdefault((chain, version), self._clock())
        return self._clock() - since >= self._patience_s

    def _keep_initial(self, run: Run, store: Store) -> None:
        if store.has_tree(run.initial):
            return
        snapshot = initial_snapshot(run.recipe)
        derived = tree_hash(snapshot) == run.initial
        store.put_tree(snapshot if derived else self._from_main(run.initial, "the initial weights"))

    def _from_main(self, address: bytes, what: str) -> bytes:
        return fetch_tree(self._stores[self._main.ledger.chain], address, what)
