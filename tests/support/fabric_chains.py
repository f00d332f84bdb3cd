"""The chains of a ``World`` over real Fabric: main and two edges, with the organisations of embedded ones.

::

    with fabric_chains(tmp_path) as make:
        world = build_world(tmp_path, make=make)

One network of its own: a world wants its chains empty, and all to itself.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from chains import ORDERER_ORGANISATION
from fabric_network import fabric_bin, on_free_ports
from fabric_protos.common import common_pb2
from world import organisations_of

from chaincode.api import Message, Organisation, RegisterOrganisation
from identity import KeyPair, Role, Signer
from identity.files import read_private_key
from ledger.errors import LedgerError
from ledger.fabric_ledger import FabricLedger
from ledger.port import Ledger, Receipt
from network import Network, Topology, down, up
from network.topology import Batch
from network.topology_file import load_topology, named_topology

_PATIENCE_S = 60.0


class _Together:
    """A ledger whose submissions every organisation's peer has seen when they return, as embedded ones do."""

    def __init__(self, ledger: FabricLedger, everybody: Callable[[], Sequence[Ledger]]) -> None:
        self._ledger = ledger
        self._everybody = everybody

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def submit(self, message: Message, *, timeout: float = 30.0) -> Receipt:
        receipt = self._ledger.submit(message, timeout=timeout)
        for ledger in self._everybody():
            assert ledger.wait(receipt.block, 30.0)
        return receipt


class FabricTestChain:
    """What a ``World`` and its tests ask of a ``chains.TestChain``."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self.organisations = network.chain(name).organisations
        self._ledgers: dict[tuple[str, Role], FabricLedger] = {}

    @property
    def ledger(self) -> Any:
        """For a client of the first organisation."""
        return self.acting_as(self.organisations[0], Role.CLIENT)

    def acting_as(self, msp_id: str, role: Role) -> Any:
        return _Together(
            self._open(msp_id, role), lambda: [self._open(name, Role.CLIENT) for name in self.organisations]
        )

    def signer(self, msp_id: str, role: Role) -> Signer:
        return Signer.load(self._network.layout.identity(msp_id, role.value), msp_id=msp_id)

    @cached_property
    def genesis(self) -> common_pb2.Block:
        return self.ledger.block(0)

    @cached_property
    def orderer(self) -> Signer:
        """Who signs the blocks."""
        return self._local(kind="orderer")

    @cached_property
    def endorsers(self) -> tuple[Signer, ...]:
        return tuple(self._local(kind="peer", msp_id=name) for name in self.organisations)

    @property
    def path(self) -> Path:
        """The first peer's block files."""
        (peer,) = self._network.topology.select(chain=self._name, kind="peer", msp_id=self.organisations[0])
        return self._network.layout.node(peer.name) / "data/ledgersData/chains/chains" / self._name

    def close(self) -> None:
        for ledger in self._ledgers.values():
            ledger.close()

    def _open(self, msp_id: str, role: Role) -> FabricLedger:
        if (msp_id, role) not in self._ledgers:
            self._ledgers[msp_id, role] = FabricLedger(
                self._network.peer(self._name, msp_id), self._name, submitter=self.signer(msp_id, role)
            )
        return self._ledgers[msp_id, role]

    def _local(self, **which: Any) -> Signer:
        (node,) = self._network.topology.select(chain=self._name, **which)
        msp = self._network.layout.node(node.name) / "msp"
        key = read_private_key(msp / "keystore" / "key.pem")
        return Signer(node.msp_id, (msp / "signcerts" / "cert.pem").read_bytes(), key)


@contextmanager
def fabric_chains(folder: Path) -> Iterator[Callable[..., Any]]:
    """A network that is up; what is given makes chains as ``chains.make_chain`` does, each once."""
    root = folder / "network"
    try:
        network = up(root, on_free_ports(_topology()), _answers, fabric_bin=fabric_bin())
        yield lambda tmp_path, name, organisations: FabricTestChain(network, name)
    finally:
        down(root)
        shutil.rmtree(root, ignore_errors=True)


def _topology() -> Topology:
    dev = load_topology(named_topology("dev"))
    batch = Batch(timeout="20ms")  # one transaction after the other: each waits for its block
    (edge,) = dev.edges
    return dataclasses.replace(
        dev,
        name="world",
        main=dataclasses.replace(
            dev.main, organisations=organisations_of("main"), orderers={ORDERER_ORGANISATION: 1}, batch=batch
        ),
        edges=tuple(
            dataclasses.replace(
                edge,
                chain=name,
                organisations=organisations_of(name),
                orderers={ORDERER_ORGANISATION: 1},
                batch=batch,
            )
            for name in ("edge-a", "edge-b")
        ),
    )


def _answers(network: Network, chain: str) -> None:
    """The chain takes a transaction that changes nothing that a world relies on."""
    made = FabricTestChain(network, chain)
    end = time.monotonic() + _PATIENCE_S
    operator = made.organisations[0]
    message = RegisterOrganisation(Organisation(operator, operator, KeyPair.generate().spki))
    try:
        while True:
            try:
                made.acting_as(operator, Role.ADMIN).submit(message, timeout=10)
                return
            except LedgerError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
    finally:
        made.close()
