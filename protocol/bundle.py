"""Proof bundles, version 1: one file that a stranger verifies offline against a trust root.

A bundle holds evidence only: nothing informative, nothing that its subject does not lead to, no checksum of
itself. Its one encoding is canonical JSON; lists have one order. What is checked here is form; what the
evidence proves is the audit's to say. ``docs/bundle-v1.schema.json`` is made from these classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from fabric_protos.common import common_pb2

from protocol import names
from protocol.anchors import SignedStatement
from protocol.commitments import data_set_digest
from protocol.constraints import (
    Base64,
    ChainId,
    Choices,
    Count,
    Digest,
    Ordinal,
    check_ascending,
    check_distinct,
    check_fields,
    from_base64,
    to_base64,
)
from protocol.elements import Element
from protocol.encodings import decode, encode, sha256
from protocol.readings import RecordLeaf

__all__ = [
    "BUNDLE_SCHEMA",
    "BatchEvidence",
    "BlockEvidence",
    "Bundle",
    "Holding",
    "LeafEvidence",
    "ProvenElement",
    "assemble",
    "parse_bundle",
    "serialise_bundle",
]

BUNDLE_SCHEMA: Final = "edgeproof/bundle/v1"
PROFILES: Final = ("compact", "full")
KINDS: Final = ("record", "model", "round")

_RECORD_SUBJECT: Final = re.compile(r"[0-9a-f]{64}")
_RUN_SUBJECT: Final = re.compile(rf"{names.RUN}:[1-9][0-9]{{0,14}}")


@dataclass(frozen=True)
class ProvenElement:
    """An element, and its membership in the accumulator value of an anchor."""

    number: Ordinal
    """The element's number on its chain."""
    chain: ChainId
    block: Count
    index: Count
    """Position in the block, from 0."""
    code: Count
    """Validation code, 0 for valid."""
    envelope_hash: Digest
    """SHA-256 of the envelope."""
    payload: str
    """The chaincode's response payload, which is JSON text; empty for configuration and failures."""
    anchor: Ordinal
    """Number of the chain's statement whose range holds the element."""
    offset: Count
    """Certificate: how far the prime representative lies from the hash."""
    witness: bytes
    """Membership witness, as wide as the accumulator's modulus."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def key(self) -> tuple[str, int]:
        """Chain and number."""
        return self.chain, self.number

    def element(self) -> Element:
        """The element that is claimed to be a member."""
        return Element(
            self.chain,
            self.number,
            self.block,
            self.index,
            self.code,
            self.envelope_hash,
            sha256(self.payload.encode()),
        )


@dataclass(frozen=True)
class LeafEvidence:
    """One record of a batch."""

    index: Count
    """Position in the batch, from 0."""
    leaf: RecordLeaf
    path: tuple[Digest, ...]
    """RFC 6962 inclusion path; empty where the whole batch is shown."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class BatchEvidence:
    """Records of one recording transaction: all of them without paths, or some with paths."""

    chain: ChainId
    number: Ordinal
    """Number of the recording element."""
    leaves: tuple[LeafEvidence, ...]
    """Sorted by index."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.leaves:
            raise ValueError("a batch without leaves")
        check_ascending((leaf.index for leaf in self.leaves), "leaves")
        if self.whole and self.leaves[-1].index != len(self.leaves) - 1:
            raise ValueError("leaves without paths are not the whole batch")
        if not self.whole and not all(leaf.path for leaf in self.leaves):
            raise ValueError("some leaves have paths and others have none")

    @property
    def key(self) -> tuple[str, int]:
        """Chain and number of the element."""
        return self.chain, self.number

    @property
    def whole(self) -> bool:
        """Whether every leaf of the batch is here, so that the root is recomputed and needs no path."""
        return not any(leaf.path for leaf in self.leaves)


@dataclass(frozen=True)
class Holding:
    """Where another chain holds a statement of main: the block and transaction that accepted it."""

    chain: ChainId
    """The holder."""
    block: Count
    index: Count
    statement: Digest
    """Digest of main's statement."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def key(self) -> tuple[str, int, int]:
        """Chain, block and index."""
        return self.chain, self.block, self.index


@dataclass(frozen=True)
class BlockEvidence:
    """A block as its orderers signed it; what a peer adds (validation codes) is unsigned and left out."""

    chain: ChainId
    number: Count
    previous_hash: bytes
    """Hash of the header before; 32 bytes, empty for block 0."""
    data_hash: Digest
    envelopes: tuple[Base64, ...]
    """Every envelope of the block, in order."""
    signatures: Base64
    """The block's ``common.Metadata`` of the orderers' signatures; empty for block 0."""

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.previous_hash) != (32 if self.number else 0):
            raise ValueError("previous_hash is 32 bytes, and empty for block 0")
        if not self.envelopes:
            raise ValueError("a block without envelopes")

    @property
    def key(self) -> tuple[str, int]:
        """Chain and number."""
        return self.chain, self.number

    @classmethod
    def of(cls, chain: str, block: common_pb2.Block) -> BlockEvidence:
        """The evidence that a block is."""
        slots = block.metadata.metadata
        header = block.header
        return cls(
            chain=chain,
            number=header.number,
            previous_hash=bytes(header.previous_hash),
            data_hash=bytes(header.data_hash),
            envelopes=tuple(to_base64(envelope) for envelope in block.data.data),
            signatures=to_base64(slots[0] if len(slots) else b""),
        )

    def block(self) -> common_pb2.Block:
        """The block as far as the evidence goes: header, envelopes, signatures' metadata."""
        block = common_pb2.Block()
        block.header.number = self.number
        block.header.previous_hash = self.previous_hash
        block.header.data_hash = self.data_hash
        block.data.data.extend(from_base64(envelope) for envelope in self.envelopes)
        block.metadata.metadata.append(from_base64(self.signatures))
        return block


@dataclass(frozen=True)
class Bundle:
    """Everything that proves one record, model version or round."""

    schema: Annotated[str, Choices((BUNDLE_SCHEMA,))]
    profile: Annotated[str, Choices(PROFILES)]
    """``compact``; ``full`` also has the block of every element."""
    kind: Annotated[str, Choices(KINDS)]
    chain: ChainId
    """Where the subject stands."""
    subject: str
    """Record id in hex; ``run:version`` of a model; ``run:round``."""
    statements: tuple[SignedStatement, ...]
    """Sorted by chain and number; signatures sorted by organisation."""
    elements: tuple[ProvenElement, ...]
    """Sorted by chain and number."""
    batches: tuple[BatchEvidence, ...]
    """Sorted by chain and number."""
    manifests: tuple[tuple[Digest, ...], ...]
    """Record ids of each data set in its own order; data sets sorted by digest."""
    holdings: tuple[Holding, ...]
    """Sorted by chain, block and index."""
    blocks: tuple[BlockEvidence, ...]
    """Sorted by chain and number."""
    configurations: tuple[BlockEvidence, ...]
    """Every configuration block after genesis that the blocks rest on. Sorted by chain and number."""

    def __post_init__(self) -> None:
        check_fields(self)
        form = _RECORD_SUBJECT if self.kind == "record" else _RUN_SUBJECT
        if form.fullmatch(self.subject) is None:
            raise ValueError(f"subject is not that of a {self.kind}")
        check_ascending((_statement_key(signed) for signed in self.statements), "statements")
        for signed in self.statements:
            check_ascending((entry.msp_id for entry in signed.signatures), "signatures")
            check_ascending((latest.chain for latest in signed.statement.latest), "latest")
        check_ascending((element.key for element in self.elements), "elements")
        check_ascending((batch.key for batch in self.batches), "batches")
        for manifest in self.manifests:
            check_distinct(manifest, "a manifest's records")
            if any(len(record) != 32 for record in manifest):
                raise ValueError("a manifest's record id is not 32 bytes")
        check_ascending((data_set_digest(manifest) for manifest in self.manifests), "manifests")
        check_ascending((holding.key for holding in self.holdings), "holdings")
        check_ascending((block.key for block in self.blocks), "blocks")
        check_ascending((block.key for block in self.configurations), "configurations")


def assemble(
    *,
    profile: str,
    kind: str,
    chain: str,
    subject: str,
    statements: Iterable[SignedStatement] = (),
    elements: Iterable[ProvenElement] = (),
    batches: Iterable[BatchEvidence] = (),
    manifests: Iterable[tuple[bytes, ...]] = (),
    holdings: Iterable[Holding] = (),
    blocks: Iterable[BlockEvidence] = (),
    configurations: Iterable[BlockEvidence] = (),
) -> Bundle:
    """A bundle with its lists in their one order; equal parts that were gathered twice become one.

    Raises:
        ValueError: two different parts claim one place, or a field is out of form.
    """
    return Bundle(
        schema=BUNDLE_SCHEMA,
        profile=profile,
        kind=kind,
        chain=chain,
        subject=subject,
        statements=tuple(sorted(set(statements), key=_statement_key)),
        elements=tuple(sorted(set(elements), key=lambda element: element.key)),
        batches=tuple(sorted(set(batches), key=lambda batch: batch.key)),
        manifests=tuple(sorted(set(manifests), key=data_set_digest)),
        holdings=tuple(sorted(set(holdings), key=lambda holding: holding.key)),
        blocks=tuple(sorted(set(blocks), key=lambda block: block.key)),
        configurations=tuple(sorted(set(configurations), key=lambda block: block.key)),
    )


def serialise_bundle(bundle: Bundle) -> bytes:
    """The bundle's one encoding."""
    return encode(bundle)


def parse_bundle(raw: bytes) -> Bundle:
    """Read a bundle, refusing everything but its one encoding.

    Raises:
        MalformedJson: not canonical JSON.
        SchemaMismatch: not a bundle of this version, with the field at fault.
    """
    return decode(Bundle, raw)


def _statement_key(signed: SignedStatement) -> tuple[str, int]:
    return signed.statement.chain, signed.statement.number
