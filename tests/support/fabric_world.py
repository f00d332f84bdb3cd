"""A ``World`` over real Fabric: the same play, on the chains of a network that is up.

::

    with fabric_world(network, tmp_path) as world:
        device = world.enrol("edge-a", "meter-1")
        world.submit_contents(device, [b"{}"])
        world.interlock()
        world.prover.record_bundle("edge-a", world.records["edge-a"][0])
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from world import World

from edgeproof.setup import adopt_network
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from identity.roles import Role
from identity.signers import Signer
from ledger.port import Ledger
from network import Network
from protocol.trust import Checkpoint, TrustRoot


@dataclass
class FabricChain:
    """What a ``World`` asks of a chain."""

    name: str
    parts: Parts

    @property
    def organisations(self) -> tuple[str, ...]:
        return self.parts.deployment.plan.chain(self.name).organisations

    @property
    def ledger(self) -> Ledger:
        return self.acting_as(self.organisations[0], Role.ADMIN)

    def signer(self, msp_id: str, role: Role) -> Signer:
        return self.parts.deployment.signer(msp_id, role)

    def acting_as(self, msp_id: str, role: Role) -> Ledger:
        return self.parts.ledger(self.name, msp_id, role)

    def close(self) -> None:
        """The parts close it."""


class FabricWorld(World):
    """The world; its trust root is the one that the deployment exports now."""

    parts: Parts

    @property
    def ledgers(self) -> dict[str, Any]:
        return dict(self.parts.readers)

    def submit(self, chain: str, readings: Any) -> Any:
        receipt = super().submit(chain, readings)
        assert self.ledgers[chain].wait(receipt.block, 30)
        return receipt

    def trust(self, checkpoints: dict[str, Checkpoint] | None = None) -> TrustRoot:
        made = export_trust(self.parts)
        none = Checkpoint(0, b"")
        return replace(
            made,
            chains=tuple(
                replace(one, checkpoint=(checkpoints or {}).get(one.chain, none)) for one in made.chains
            ),
        )


@contextmanager
def fabric_world(network: Network, folder: Path) -> Iterator[FabricWorld]:
    """A world over the network's chains as they are now; opened anew it sees the same chains."""
    deployment = adopt_network(network.root)
    with Parts(deployment, "test", caches=folder / "caches") as parts:
        plan = deployment.plan
        world = FabricWorld(
            folder=folder,
            chains={chain.chain: FabricChain(chain.chain, parts) for chain in plan.chains},  # type: ignore[misc]
            parameters={chain.chain: parts.parameters(chain.chain) for chain in plan.chains},
            indexes={name: parts.index(ledger) for name, ledger in parts.readers.items()},
            owners={msp_id: deployment.owner_key(msp_id) for _, msp_id in deployment.organisations()},
        )
        world.parts = parts
        yield world
