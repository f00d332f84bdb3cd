"""Embedded chains rewritten from their genesis block, in a copy of the deployment, with all of their keys."""

from __future__ import annotations

import time

from chaincode.api import FixCut, SubmitBatch
from edgeproof.demo.data import CONTENT_TYPE
from edgeproof.demo.scene import Scene, attacker
from edgeproof.deployment import ChainPlan, Deployment
from edgeproof.setup import register_chain
from edgeproof.wiring import Parts
from gateway.client import ReadingSigner, enrolment
from gateway.signer import AnchorSigner
from identity import KeyPair, Role
from ledger.embedded import EmbeddedLedger
from ledger.port import call

__all__ = ["forge_reading", "rewrite_edge", "rewrite_main"]


def rewrite_edge(scene: Scene) -> list[str]:
    """The edge's organisations replace a reading and sign everything anew, anchor included."""
    copy = scene.copy("rewritten-edge")
    plan = copy.plan.chain(scene.record[0])
    _restart_chain(copy, plan)
    with attacker(copy, scene.folder, "edge") as parts:
        register_chain(copy, parts, plan)
        forge_reading(scene, parts)
        _anchor_again(copy, parts, plan)
    return ["audit", "anchors", *scene.where(copy)]


def rewrite_main(scene: Scene) -> list[str]:
    """Main's organisations start main anew, without what the edges had anchored, and sign it."""
    copy = scene.copy("rewritten-main")
    plan = copy.plan.main
    _restart_chain(copy, plan)
    with attacker(copy, scene.folder, "main") as parts:
        register_chain(copy, parts, plan)
        _anchor_again(copy, parts, plan)
    return ["audit", "anchors", *scene.where(copy)]


def forge_reading(scene: Scene, parts: Parts) -> None:
    """Enrol the scene's device with a key of the attackers' and record another reading in its name."""
    edge, _, content = scene.record
    plan = parts.deployment.plan.chain(edge)
    key = KeyPair.generate()
    owner = plan.organisations[1]
    gateway = parts.ledger(edge, plan.operator, Role.GATEWAY)
    call(gateway, enrolment(edge, scene.device.name, key, owner, parts.deployment.owner_key(owner)))
    forged = content.replace(b'"label":', b'"label":1', 1)[: len(content)]
    parts.store(edge).put(forged)
    signer = ReadingSigner(edge, scene.device.name, key, clock=time.time)
    call(gateway, SubmitBatch((signer.sign(forged, CONTENT_TYPE, nonce="n000000").reading,)))


def _restart_chain(copy: Deployment, plan: ChainPlan) -> None:
    """A new chain on the old genesis block."""
    path = copy.ledger_path(plan.chain)
    with Parts(copy, "genesis") as parts:
        genesis = parts.ledger(plan.chain, plan.operator, Role.ADMIN).block(0)
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    EmbeddedLedger.create(path, genesis)


def _anchor_again(copy: Deployment, parts: Parts, plan: ChainPlan) -> None:
    """Fix a first cut and have every organisation of the chain sign it."""
    call(parts.ledger(plan.chain, plan.operator, Role.RELAY), FixCut(number=1))
    for msp_id in plan.organisations:
        ledger = parts.ledger(plan.chain, msp_id, Role.ANCHOR_SIGNER)
        AnchorSigner(ledger, parts.index(ledger), copy.signer(msp_id, Role.ANCHOR_SIGNER)).step()
