"""Wiring: which concrete part stands behind which port. The only place where parts are put together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from accumulator import Parameters
from edgeproof.deployment import Backend, Deployment
from edgeproof.faults import FaultyLedger, FaultyStore, arm
from edgeproof.settings import Settings
from identity import Role
from ledger.index import ChainIndex
from ledger.port import Ledger
from ledger.proofs import Prover
from store import FileStore, Store

if TYPE_CHECKING:
    from network.network import Network

__all__ = ["Parts"]


class Parts(AbstractContextManager["Parts"]):
    """Opens a deployment's parts for one process and closes them again.

    Args:
        deployment: the deployment.
        name: the process's name; its caches lie below ``state/<name>``.
        settings: for the failpoint that tests arm.
        caches: folder for the process's own files, in place of the deployment's ``state/<name>``.
    """

    def __init__(
        self,
        deployment: Deployment,
        name: str,
        settings: Settings | None = None,
        *,
        caches: Path | None = None,
    ) -> None:
        self.deployment = deployment
        self._caches = caches or deployment.state_path(name)
        self._stack = ExitStack()
        self._failpoint = arm(settings.failpoint, name) if settings is not None else None
        self._ledgers: dict[tuple[str, str, Role], Ledger] = {}
        self._indexes: dict[str, ChainIndex] = {}

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close everything that was opened."""
        self._stack.close()

    def parameters(self, chain: str) -> Parameters:
        """The accumulator parameters of a chain."""
        return Parameters(self.deployment.modulus, chain)

    def ledger(self, chain: str, msp_id: str, role: Role) -> Ledger:
        """A chain's ledger, spoken to as one organisation's identity; on Fabric by way of its own peer."""
        key = (chain, msp_id, role)
        if key not in self._ledgers:
            fabric = self.deployment.plan.ledger is Backend.FABRIC
            ledger = self._fabric(*key) if fabric else self._embedded(*key)
            self._stack.callback(ledger.close)
            self._ledgers[key] = FaultyLedger(ledger, self._failpoint) if self._failpoint else ledger
        return self._ledgers[key]

    # Each backend is imported by those who use it: an audit starts in tenths of a second.

    def _embedded(self, chain: str, msp_id: str, role: Role) -> Ledger:
        from ledger.embedded import EmbeddedLedger

        deployment = self.deployment
        organisations = deployment.plan.chain(chain).organisations
        return EmbeddedLedger(
            deployment.ledger_path(chain),
            submitter=deployment.signer(msp_id, role),
            # The submitter's own organisation endorses first where it can; the policy asks for two.
            endorsers=[
                deployment.signer(name, Role.PEER)
                for name in sorted(organisations, key=lambda name: (name != msp_id, name))[:2]
            ],
            orderer=deployment.orderer(chain),
        )

    def _fabric(self, chain: str, msp_id: str, role: Role) -> Ledger:
        from ledger.fabric_ledger import FabricLedger

        self.deployment.plan.chain(chain)
        client = self._network.client_tls(msp_id)
        return FabricLedger(
            self._network.peer(chain, msp_id),
            chain,
            submitter=self.deployment.signer(msp_id, role),
            client_certificate=None if client is None else client.certificate_pem,
            client_key=None if client is None else client.key_pem,
        )

    @cached_property
    def _network(self) -> Network:
        from network.network import Network

        return Network(self.deployment.root)

    def index(self, ledger: Ledger) -> ChainIndex:
        """This process's element index of a chain."""
        if ledger.chain not in self._indexes:
            self._caches.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._caches / f"{ledger.chain}.sqlite"
            index = ChainIndex(ledger, self.parameters(ledger.chain), path)
            self._stack.callback(index.close)
            self._indexes[ledger.chain] = index
        return self._indexes[ledger.chain]

    def store(self, chain: str) -> Store:
        """The content-addressed store of a chain's site."""
        store: Store = FileStore(self.deployment.store_path(chain))
        return FaultyStore(store, self._failpoint) if self._failpoint else store

    @cached_property
    def readers(self) -> Mapping[str, Ledger]:
        """Every chain, spoken to as its operator's auditor."""
        return {
            plan.chain: self.ledger(plan.chain, plan.operator, Role.AUDITOR)
            for plan in self.deployment.plan.chains
        }

    @cached_property
    def prover(self) -> Prover:
        """Makes proofs over every chain."""
        return Prover(
            {chain: self.index(ledger) for chain, ledger in self.readers.items()},
            dict(self.readers),
            lambda chain, address: self.store(chain).get(address),
        )

    def folder(self, name: str) -> Path:
        """A private state folder of this process."""
        folder = self._caches / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
