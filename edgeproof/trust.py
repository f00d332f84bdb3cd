"""Exports a deployment's trust root: what its operators hand to auditors by a way that both trust."""

from __future__ import annotations

from fabric_protos.common import common_pb2

from chaincode.api import GetHeads, GetSource
from edgeproof.wiring import Parts
from ledger.port import evaluate_typed
from protocol.blocks import header_hash
from protocol.configuration import Configuration
from protocol.constraints import to_base64
from protocol.history import configuration_numbers
from protocol.trust import TRUST_SCHEMA, ChainTrust, Checkpoint, TrustRoot

__all__ = ["export_trust"]


def export_trust(parts: Parts) -> TrustRoot:
    """The trust root of a deployment as its chains say now.

    The checkpoint of an edge is the newest of its anchors that main holds; main's, the newest that every
    edge holds.
    """
    plan = parts.deployment.plan
    held = {
        holder: {head.chain: head for head in evaluate_typed(ledger, GetHeads()).heads}
        for holder, ledger in parts.readers.items()
    }
    chains = []
    for name, ledger in sorted(parts.readers.items()):
        source = evaluate_typed(ledger, GetSource(chain=name))
        genesis = ledger.block(0)
        numbers = configuration_numbers(ledger.block, ledger.information().height - 1)
        holders = [edge.chain for edge in plan.edges] if name == plan.main.chain else [plan.main.chain]
        heads = [held[holder].get(name) for holder in holders]
        known = [head for head in heads if head is not None]
        oldest = min(known, key=lambda head: head.number) if len(known) == len(holders) else None
        chains.append(
            ChainTrust(
                chain=name,
                genesis_hash=header_hash(genesis.header),
                config_blocks=tuple(_base64(ledger.block(number)) for number in (0, *numbers)),
                roster=source.roster,
                modulus=source.modulus,
                origin=source.origin,
                policy=Configuration.from_block(ledger.block(max((0, *numbers)))).endorsement.required,
                checkpoint=Checkpoint(oldest.number, oldest.statement) if oldest else Checkpoint(0, b""),
            )
        )
    return TrustRoot(schema=TRUST_SCHEMA, main=plan.main.chain, chains=tuple(chains))


def _base64(block: common_pb2.Block) -> str:
    """What orderers sign of a block; what a peer adds (validation codes, its own hash) is left out."""
    kept = common_pb2.Block(header=block.header, data=block.data)
    kept.metadata.metadata.extend(block.metadata.metadata[:1])
    return to_base64(kept.SerializeToString(deterministic=True))
