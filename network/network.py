"""A network that was brought up, seen from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from identity import IdentityError, TlsIdentity
from network.endpoints import Endpoint
from network.errors import IdentityProblem, NetworkError
from network.layout import Layout
from network.topology import ChainSpec
from network.topology_file import load_topology

__all__ = ["Network", "ReadyProbe"]


class Network:
    """The network below ``root``; whether its processes run is another matter.

    Attributes:
        root: its folder, absolute.
        layout: where everything lies below it.
        topology: what it consists of.
    """

    def __init__(self, root: Path) -> None:
        """Open it.

        Raises:
            NetworkError: there is none.
            TopologyError: its topology cannot be read.
        """
        self.layout = Layout.of(root)
        self.root = self.layout.root
        if not self.layout.topology.is_file():
            raise NetworkError(f"{root} holds no network; `edgeproof network up --root {root}` makes one")
        self.topology = load_topology(self.layout.topology)

    def chain(self, chain: str) -> ChainSpec:
        """One chain.

        Raises:
            NetworkError: there is no such chain.
        """
        try:
            return self.topology.chain(chain)
        except KeyError:
            known = ", ".join(spec.chain for spec in self.topology.chains)
            raise NetworkError(f"there is no chain {chain!r} here; there are {known}") from None

    def peer(self, chain: str, msp_id: str) -> Endpoint:
        """An organisation's peer on a chain.

        Raises:
            NetworkError: there is no such chain, or the organisation has no peer on it.
        """
        spec = self.chain(chain)
        found = self.topology.select(chain=chain, kind="peer", msp_id=msp_id)
        if not found:
            raise NetworkError(f"{msp_id!r} has no peer on {chain}; {', '.join(spec.organisations)} have")
        return Endpoint.of(self.layout, found[0])

    def client_tls(self, msp_id: str) -> TlsIdentity | None:
        """What an organisation's clients must show; None where the topology asks no certificate of them.

        Raises:
            IdentityProblem: it is not there.
        """
        if not self.topology.client_tls:
            return None
        try:
            return self.layout.client_tls(msp_id)
        except IdentityError as error:
            raise IdentityProblem(f"{msp_id}: no TLS certificate for its clients: {error}") from error

    def orderers(self, chain: str) -> tuple[Endpoint, ...]:
        """A chain's orderers.

        Raises:
            NetworkError: there is no such chain.
        """
        self.chain(chain)
        return tuple(
            Endpoint.of(self.layout, node) for node in self.topology.select(chain=chain, kind="orderer")
        )


class ReadyProbe(Protocol):
    """Whether a chain takes transactions; handed in, because this room knows no contracts."""

    def __call__(self, network: Network, chain: str) -> None:
        """Submit a real transaction that two organisations must endorse, and wait until every organisation's
        peer and gateway answers.

        Raises:
            Exception: it did not come about.
        """
