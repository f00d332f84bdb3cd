"""Fabric's chains rewritten: copies of peers' block files, changed with the keys of all who may sign."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fabric_protos.common import common_pb2

from chaincode.api import FixCut, SignAnchor
from edgeproof.demo.rewriting import forge_reading
from edgeproof.demo.scene import Scene, attacker
from edgeproof.deployment import Backend, ChainPlan, Deployment
from edgeproof.errors import DemoError
from edgeproof.peer_files import block_folder
from edgeproof.setup import register_chain
from edgeproof.wiring import Parts
from identity import DevelopmentAuthority, Role, Signer
from ledger.block_files import PeerBlockFiles, serialise_block
from ledger.embedded import EmbeddedLedger, build_genesis
from ledger.port import call
from network import Network
from protocol.anchors import AnchorSignature
from protocol.blocks import SIGNATURES, block_signature_bytes, header_hash
from protocol.chainstate import ChainState
from protocol.configuration import Configuration
from protocol.encodings import sha256

__all__ = ["alter_block_file", "rewrite_edge", "rewrite_main"]

_FIRST_FILE: Final = "blockfile_000000"


def alter_block_file(scene: Scene) -> list[str]:
    """One hex digit of a reading's digest is changed where the peer keeps its block."""
    edge, _, content = scene.record
    folder = _copied(scene, "altered-blocks", edge)
    needle = sha256(content).hex().encode()
    for path in sorted(folder.iterdir()):
        raw = bytearray(path.read_bytes())
        if (position := raw.find(needle)) >= 0:
            raw[position] = ord("0") if raw[position] != ord("0") else ord("1")
            path.write_bytes(raw)
            return ["audit", "chain", "--blocks", str(folder), "--trust", str(scene.trust)]
    raise DemoError("the reading is not in the peer's block files")


def rewrite_edge(scene: Scene) -> list[str]:
    """An edge's organisations and orderers replace a reading and sign everything anew, anchor included."""
    plan = scene.deployment.plan.chain(scene.record[0])
    forged = _rewrite(scene, "rewritten-edge", plan, lambda parts: forge_reading(scene, parts))
    held_by = _copied(scene, "rewritten-edge-main", scene.deployment.plan.main.chain)
    return ["audit", "chain", "--blocks", forged, "--blocks", str(held_by), "--trust", str(scene.trust)]


def rewrite_main(scene: Scene) -> list[str]:
    """Main's organisations and orderers start it anew, without what the edges had anchored, and sign it."""
    plan = scene.deployment.plan
    forged = _rewrite(scene, "rewritten-main", plan.main, lambda parts: None)
    held_by = _copied(scene, "rewritten-main-edge", plan.edges[0].chain)
    return ["audit", "chain", "--blocks", forged, "--blocks", str(held_by), "--trust", str(scene.trust)]


def _copied(scene: Scene, name: str, chain: str) -> Path:
    """A copy of the block files of the operator's peer, which goes on meanwhile."""
    network = Network(scene.deployment.root)
    operator = scene.deployment.plan.chain(chain).operator
    (peer,) = network.topology.select(chain=chain, kind="peer", msp_id=operator)
    target = scene.folder / name / chain
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(block_folder(network, peer), target)
    return target


# ------------------------------------------------------------------ forging


def _rewrite(scene: Scene, name: str, plan: ChainPlan, record: Callable[[Parts], None]) -> str:
    """A block file that begins with the real genesis block and goes on as the attackers like.

    The contracts run on an embedded ledger with the network's own identities; its blocks then are put after
    the real genesis block, and the orderers sign them.
    """
    files = PeerBlockFiles(_copied(scene, f"{name}-before", plan.chain))
    with closing(files):
        genesis = files.block(0)
    workshop = _workshop(scene, name, plan)
    orderers = _orderers(scene, plan.chain)
    with attacker(workshop, scene.folder, name) as parts:
        register_chain(workshop, parts, plan)
        record(parts)
        call(parts.ledger(plan.chain, plan.operator, Role.RELAY), FixCut(number=1))
        relay = parts.ledger(plan.chain, plan.operator, Role.RELAY)
        state = ChainState(plan.chain, parts.parameters(plan.chain))
        statements = [
            statement
            for block in (genesis, *_relinked(genesis, relay.blocks(1), orderers))
            for statement in state.feed(block).statements
        ]
        for msp_id in plan.organisations:
            signer = workshop.signer(msp_id, Role.ANCHOR_SIGNER)
            signature = AnchorSignature(msp_id, signer.sign(statements[0].signing_bytes()))
            call(parts.ledger(plan.chain, msp_id, Role.ANCHOR_SIGNER), SignAnchor(statements[0], signature))
        target = scene.folder / name / "blocks"
        target.mkdir(parents=True)
        with (target / _FIRST_FILE).open("wb") as file:
            for block in (genesis, *_relinked(genesis, relay.blocks(1), orderers)):
                file.write(serialise_block(block))
    return str(target)


def _workshop(scene: Scene, name: str, plan: ChainPlan) -> Deployment:
    """An embedded chain of the same name, with the network's own identities."""
    root = scene.folder / name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(scene.deployment.root / "identities", root / "identities")
    (root / "chains").mkdir()
    network = Network(scene.deployment.root)
    for node in network.topology.select(chain=plan.chain, kind="peer"):
        home = network.layout.node(node.name) / "identity"
        shutil.copytree(home, root / "identities" / node.msp_id / Role.PEER.value)
    workshop = Deployment.adopt(root, dataclasses.replace(scene.deployment.plan, ledger=Backend.EMBEDDED))
    now = datetime.now(UTC)
    folder = root / "identities" / f"{plan.chain}-orderer"
    shutil.rmtree(folder, ignore_errors=True)
    authority = DevelopmentAuthority.create(folder.name, folder / "authority", now=now)
    authority.issue("orderer", Role.ORDERER, now=now).save(folder / Role.ORDERER.value)
    block = build_genesis(
        plan.chain,
        [workshop.authority(msp_id).fabric_msp_config() for msp_id in plan.organisations],
        [authority.fabric_msp_config()],
        now=now,
        endorsements=2,
    )
    EmbeddedLedger.create(workshop.ledger_path(plan.chain), block)
    return workshop


def _orderers(scene: Scene, chain: str) -> list[Signer]:
    network = Network(scene.deployment.root)
    return [
        Signer.load(network.layout.node(node.name) / "identity", msp_id=node.msp_id)
        for node in network.topology.select(chain=chain, kind="orderer")
    ]


def _relinked(
    genesis: common_pb2.Block, blocks: Iterable[common_pb2.Block], orderers: Sequence[Signer]
) -> Iterator[common_pb2.Block]:
    """The blocks put after ``genesis``, signed by as many orderers as its configuration asks for."""
    configuration = Configuration.from_block(genesis)
    numbers = {configuration.consenter_key(one): number for number, one in configuration.consenters.items()}
    value = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=0)).SerializeToString(
        deterministic=True
    )
    previous = header_hash(genesis.header)
    for block in blocks:
        made = common_pb2.Block()
        made.CopyFrom(block)
        made.header.previous_hash = previous
        metadata = common_pb2.Metadata(value=value)
        for signer in orderers[: configuration.orderer_quorum]:
            entry = metadata.signatures.add()
            nonce = os.urandom(24)
            if numbers:
                header = common_pb2.IdentifierHeader(
                    identifier=numbers[signer.spki], nonce=nonce
                ).SerializeToString(deterministic=True)
                entry.identifier_header = header
            else:
                header = common_pb2.SignatureHeader(
                    creator=signer.serialized(), nonce=nonce
                ).SerializeToString(deterministic=True)
                entry.signature_header = header
            entry.signature = signer.sign(block_signature_bytes(value, header, made.header))
        made.metadata.metadata[SIGNATURES] = metadata.SerializeToString(deterministic=True)
        previous = header_hash(made.header)
        yield made
