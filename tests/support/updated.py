"""Configuration updates on a test chain, as its orderers would write them, and bundles that rest on them.

::

    updates = Updates(world.chains["edge-b"])
    updates.rotate_orderers(at=5)                   # block 5 replaces the orderers' authority
    bundle = updates.resting(bundle)                # edge-b's blocks name it, signed by the new orderer
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chains import ORDERER_ORGANISATION, TestChain
from fabric_protos.common import common_pb2, configtx_pb2

from identity.authority import DevelopmentAuthority
from identity.roles import Role
from identity.signers import Signer
from protocol.blocks import block_signature_bytes, data_hash
from protocol.bundle import BlockEvidence, Bundle

Change = Callable[[configtx_pb2.Config], None]


def last_config(index: int) -> bytes:
    """Metadata that names configuration block ``index``."""
    value = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=index))
    return value.SerializeToString(deterministic=True)


def signed_by(block: common_pb2.Block, names: int, *signers: Signer) -> common_pb2.Block:
    """The block with metadata that names a configuration block, signed by these orderers alone."""
    made = copy.deepcopy(block)
    metadata = common_pb2.Metadata(value=last_config(names))
    for signer in signers:
        header = common_pb2.SignatureHeader(creator=signer.serialized(), nonce=b"n" * 24).SerializeToString()
        signature = signer.sign(block_signature_bytes(metadata.value, header, made.header))
        metadata.signatures.add(signature_header=header, signature=signature)
    del made.metadata.metadata[:]
    made.metadata.metadata.append(metadata.SerializeToString(deterministic=True))
    return made


def configuration_block(
    before: common_pb2.Block, number: int, change: Change, *signers: Signer, names: int | None = None
) -> common_pb2.Block:
    """The configuration of ``before``, changed, with the next sequence, as block ``number``."""
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(before.data.data[0]).payload)
    envelope = configtx_pb2.ConfigEnvelope.FromString(payload.data)
    envelope.config.sequence += 1
    change(envelope.config)
    payload.data = envelope.SerializeToString(deterministic=True)
    raw = common_pb2.Envelope(
        payload=payload.SerializeToString(deterministic=True), signature=b"an orderer's"
    ).SerializeToString(deterministic=True)
    block = common_pb2.Block()
    block.header.number = number
    block.header.previous_hash = number.to_bytes(32, "big")  # blocks between are not shown
    block.header.data_hash = data_hash([raw])
    block.data.data.append(raw)
    return signed_by(block, number if names is None else names, *signers)


class Updates:
    """The configurations of one chain: genesis, and what was updated since."""

    def __init__(self, chain: TestChain, folder: Path) -> None:
        self._chain = chain
        self._folder = folder
        self.blocks = [chain.genesis]
        self.orderers = [chain.orderer]
        """By position, who signs blocks under each configuration."""

    @property
    def later(self) -> tuple[BlockEvidence, ...]:
        """The configuration blocks after genesis."""
        name = self._name
        return tuple(BlockEvidence.of(name, block) for block in self.blocks[1:])

    def update(self, at: int, change: Change = lambda config: None, **options: Any) -> common_pb2.Block:
        """An update that keeps the orderer."""
        block = configuration_block(self.blocks[-1], at, change, self.orderers[-1], **options)
        self.blocks.append(block)
        self.orderers.append(self.orderers[-1])
        return block

    def rotate_orderers(self, at: int) -> common_pb2.Block:
        """Replace the orderers' authority; its old certificates are worth nothing afterwards."""
        now = datetime.now(UTC) - timedelta(minutes=5)
        home = self._folder / f"orderers-{at}"
        authority = DevelopmentAuthority.create(ORDERER_ORGANISATION, home, now=now)

        def change(config: configtx_pb2.Config) -> None:
            group = config.channel_group.groups["Orderer"].groups[ORDERER_ORGANISATION]
            group.values["MSP"].value = authority.fabric_msp_config().SerializeToString(deterministic=True)

        block = self.update(at, change)
        self.orderers[-1] = authority.issue("orderer0", Role.ORDERER, now=now)
        return block

    def resting(self, bundle: Bundle, names: int | None = None, by: Signer | None = None) -> Bundle:
        """The bundle with this chain's blocks signed under the newest configuration, all of them shown."""
        newest = int(self.blocks[-1].header.number) if names is None else names
        blocks = tuple(
            BlockEvidence.of(self._name, signed_by(shown.block(), newest, by or self.orderers[-1]))
            if shown.chain == self._name
            else shown
            for shown in bundle.blocks
        )
        return replace(bundle, blocks=blocks, configurations=self.later)

    @property
    def _name(self) -> str:
        return self._chain.ledger.chain
