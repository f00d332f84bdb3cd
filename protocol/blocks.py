"""Fabric's blocks: headers, linkage, orderers' signatures, validation codes.

Everything works on the official ``common.Block`` messages, wherever they come from. Nothing here reads a
clock: whether a key was valid is decided by the configuration that is handed in.

Sources: Fabric 3.1.5 protoutil/blockutils.go (header bytes, data hash, signed bytes), orderer
smartbft/signature.go and common/policies/bft.go (signatures by consenters and their quorum).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fabric_protos.common import common_pb2
from google.protobuf.message import DecodeError, Message

from identity.errors import IdentityError
from identity.signers import verify_ecdsa
from protocol.errors import InvalidBlock, InvalidBlockSignature
from protocol.transactions import Transaction, verify_creator, verify_endorsements

if TYPE_CHECKING:
    from protocol.configuration import Configuration

__all__ = [
    "Transaction",
    "block_signature_bytes",
    "check_linkage",
    "data_hash",
    "header_bytes",
    "header_hash",
    "last_configuration",
    "parse_block",
    "parse_message",
    "validation_codes",
    "verify_block_signature",
    "verify_creator",
    "verify_endorsements",
]

M = TypeVar("M", bound=Message)

# common.BlockMetadataIndex
SIGNATURES: Final = 0
TRANSACTIONS_FILTER: Final = 2

ORDERER_CLASS: Final = "orderer"


def parse_message(kind: type[M], raw: bytes, what: str) -> M:
    """Read protobuf bytes.

    Raises:
        InvalidBlock: the bytes are no such message; ``what`` names them.
    """
    message = kind()
    try:
        message.ParseFromString(raw)
    except (DecodeError, TypeError, ValueError) as error:
        raise InvalidBlock(f"{what} cannot be read") from error
    return message


def parse_block(raw: bytes) -> common_pb2.Block:
    """Read a block and see that it has a header.

    Raises:
        InvalidBlock: it has not, or the bytes are no block.
    """
    block = parse_message(common_pb2.Block, raw, "block")
    if not block.HasField("header") or not block.HasField("data"):
        raise InvalidBlock("block has no header or no data")
    return block


def header_bytes(header: common_pb2.BlockHeader) -> bytes:
    """ASN.1 DER of SEQUENCE {INTEGER number, OCTET STRING previous hash, OCTET STRING data hash}."""
    number = int(header.number)
    content = (
        _tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
        + _tlv(0x04, bytes(header.previous_hash))
        + _tlv(0x04, bytes(header.data_hash))
    )
    return _tlv(0x30, content)


def header_hash(header: common_pb2.BlockHeader) -> bytes:
    """SHA-256 of the header's DER, 32 bytes: what the next block and an anchor statement name."""
    return hashlib.sha256(header_bytes(header)).digest()


def data_hash(envelopes: Iterable[bytes]) -> bytes:
    """SHA-256 over the concatenated envelopes, 32 bytes.

    Fabric hashes without lengths, so the hash alone does not say where one envelope ends: two envelopes
    written as one hash alike, and protobuf would read the second over the first. For that reason
    ``protocol.transactions.read_envelope`` refuses glued and cut ones.
    """
    hasher = hashlib.sha256()
    for envelope in envelopes:
        hasher.update(envelope)
    return hasher.digest()


def block_signature_bytes(value: bytes, signature_header: bytes, header: common_pb2.BlockHeader) -> bytes:
    """What an orderer signs: Metadata.value, its (signature or identifier) header, the block header's DER."""
    return value + signature_header + header_bytes(header)


def check_linkage(block: common_pb2.Block, previous_header_hash: bytes) -> None:
    """See that a block follows its predecessor and that its header commits to its data.

    Args:
        block: the block.
        previous_header_hash: ``header_hash`` of the block before; empty for block 0.

    Raises:
        InvalidBlock: it does not.
    """
    number = block.header.number
    if bytes(block.header.previous_hash) != previous_header_hash:
        raise InvalidBlock(f"block {number} does not name the header of the block before it")
    if bytes(block.header.data_hash) != data_hash(block.data.data):
        raise InvalidBlock(f"block {number}: the header's data hash is not that of its envelopes")


def validation_codes(block: common_pb2.Block) -> bytes:
    """One ``TxValidationCode`` an envelope, as the peer that handed out the block wrote them.

    The codes are no part of what orderers sign. A block fresh from an orderer (block 0 too) has none: its
    only envelope is then a configuration, which no block carries unless it is valid.

    Raises:
        InvalidBlock: there are not as many codes as envelopes.
    """
    count = len(block.data.data)
    slots = block.metadata.metadata
    codes = bytes(slots[TRANSACTIONS_FILTER]) if len(slots) > TRANSACTIONS_FILTER else b""
    if not codes and block.header.number == 0:
        return bytes(count)
    if len(codes) != count:
        raise InvalidBlock(
            f"block {block.header.number} has {count} envelopes and {len(codes)} validation codes"
        )
    return codes


def last_configuration(block: common_pb2.Block) -> int:
    """Number of the newest configuration block at this one, from the metadata that orderers sign.

    Raises:
        InvalidBlock: the metadata is absent or unreadable.
    """
    value = bytes(_signatures(block).value)
    metadata = parse_message(common_pb2.OrdererBlockMetadata, value, "orderer metadata")
    if not metadata.HasField("last_config"):
        raise InvalidBlock(f"block {block.header.number} does not name its configuration block")
    return int(metadata.last_config.index)


def verify_block_signature(block: common_pb2.Block, configuration: Configuration) -> None:
    """See that the orderers of a configuration signed a block.

    Raft (and the embedded ledger): one signature by an identity of node class orderer of an orderer
    organisation, which is stricter than the sample configuration's "ANY Writers". BFT: a quorum of distinct
    consenters, ceil((n + f + 1) / 2) with f = (n - 1) // 3.

    Signatures that do not hold are not counted, as in Fabric; so are further ones of the same signer.

    Raises:
        InvalidBlockSignature: too few of them hold, or the block is number 0, which nobody signs: its hash is
            compared with a trust root instead.
        InvalidBlock: the signatures' metadata cannot be read.
    """
    number = block.header.number
    if number == 0:
        raise InvalidBlockSignature("block 0 carries no signature: compare its hash with a trust root")
    metadata = _signatures(block)
    signers = set()
    for entry in metadata.signatures:
        try:
            if configuration.consenters:
                signers.add(_verify_consenter(entry, metadata.value, block, configuration))
            else:
                signers.add(_verify_orderer(entry, metadata.value, block, configuration))
        except (IdentityError, InvalidBlock):
            continue
    if len(signers) < configuration.orderer_quorum:
        raise InvalidBlockSignature(
            f"block {number}: {len(signers)} of {configuration.orderer_quorum} orderers' signatures hold"
        )


def _verify_orderer(entry: Any, value: bytes, block: common_pb2.Block, configuration: Configuration) -> str:
    header = parse_message(common_pb2.SignatureHeader, entry.signature_header, "signature header")
    identity = configuration.msps.validate(header.creator)
    if identity.node_class != ORDERER_CLASS or identity.msp_id not in configuration.orderer_organisations:
        raise InvalidBlock(f"{identity.common_name} is no orderer")
    signed = block_signature_bytes(value, entry.signature_header, block.header)
    verify_ecdsa(identity.spki, signed, entry.signature)
    return f"{identity.msp_id}/{identity.spki.hex()}"


def _verify_consenter(entry: Any, value: bytes, block: common_pb2.Block, configuration: Configuration) -> str:
    header = parse_message(common_pb2.IdentifierHeader, entry.identifier_header, "identifier header")
    consenter = configuration.consenters.get(int(header.identifier))
    if consenter is None:
        raise InvalidBlock(f"no consenter has the id {header.identifier}")
    signed = block_signature_bytes(value, entry.identifier_header, block.header)
    verify_ecdsa(configuration.consenter_key(consenter), signed, entry.signature)
    return str(consenter.number)


def _signatures(block: common_pb2.Block) -> common_pb2.Metadata:
    slots = block.metadata.metadata
    if len(slots) <= SIGNATURES or not slots[SIGNATURES]:
        raise InvalidBlock(f"block {block.header.number} has no signatures' metadata")
    return parse_message(common_pb2.Metadata, slots[SIGNATURES], "signatures' metadata")


def _tlv(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
