"""Bringing the ``dev`` network up, on real Fabric."""

from __future__ import annotations

import pytest

from network import Network

pytestmark = pytest.mark.fabric


def test_every_chain_has_taken_a_transaction(fabric_network: Network) -> None:
    from edgeproof.ready import probe

    for chain in fabric_network.topology.chains:
        probe(fabric_network, chain.chain)
