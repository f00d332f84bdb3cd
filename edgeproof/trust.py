"""Exports a deployment's trust root: what its operators hand to auditors by a way that both trust."""

from __future__ import annotations

import base64

from chaincode.api import GetHeads, GetSource
from edgeproof.wiring import Parts
from ledger.port import evaluate_typed
from protocol.blocks import header_hash
from protocol.configuration import Configuration
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
        holders = [edge.chain for edge in plan.edges] if name == plan.main.chain else [plan.main.chain]
        heads = [held[holder].get(name) for holder in holders]
        known = [head for head in heads if head is not None]
        oldest = min(known, key=lambda head: head.number) if len(known) == len(holders) else None
        chains.append(
            ChainTrust(
                chain=name,
                genesis_hash=header_hash(genesis.header),
                config_block=base64.b64encode(genesis.SerializeToString(deterministic=True)).decode(),
                roster=source.roster,
                modulus=source.modulus,
                origin=source.origin,
                policy=Configuration.from_block(genesis).endorsement.required,
                checkpoint=Checkpoint(oldest.number, oldest.statement) if oldest else Checkpoint(0, b""),
            )
        )
    return TrustRoot(schema=TRUST_SCHEMA, main=plan.main.chain, chains=tuple(chains))
