"""Blocks: header bytes by hand, linkage, orderers' signatures by Raft and by BFT, validation codes."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from chains import TestChain, make_chain
from fabric_protos.common import common_pb2
from hypothesis import given
from hypothesis import strategies as st
from scratch_contract import Put, invoke

from identity.roles import Role
from identity.signers import Signer
from protocol.blocks import (
    block_signature_bytes,
    check_linkage,
    data_hash,
    header_bytes,
    header_hash,
    last_configuration,
    parse_block,
    validation_codes,
    verify_block_signature,
)
from protocol.configuration import Configuration, Consenter
from protocol.errors import InvalidBlock, InvalidBlockSignature


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestChain]:
    made = make_chain(tmp_path_factory.mktemp("blocks"), invoke=invoke)
    made.ledger.submit(Put("a", "1"))
    made.ledger.submit(Put("b", "1"))
    yield made
    made.close()


@pytest.fixture
def block(chain: TestChain) -> common_pb2.Block:
    return chain.ledger.block(2)


# DER written by hand: SEQUENCE, INTEGER (a leading zero where the top bit is set), two OCTET STRINGs.
@pytest.mark.parametrize(
    ("number", "previous", "der"),
    [
        (0, b"", "3027" + "020100" + "0400" + "0420" + "22" * 32),
        (1, b"\x11" * 32, "3047" + "020101" + "0420" + "11" * 32 + "0420" + "22" * 32),
        (127, b"\x11" * 32, "3047" + "02017f" + "0420" + "11" * 32 + "0420" + "22" * 32),
        (128, b"\x11" * 32, "3048" + "02020080" + "0420" + "11" * 32 + "0420" + "22" * 32),
        (2**63, b"\x11" * 32, "304f" + "0209008000000000000000" + "0420" + "11" * 32 + "0420" + "22" * 32),
        (1, b"\x11" * 200, "3081f0" + "020101" + "0481c8" + "11" * 200 + "0420" + "22" * 32),
    ],
)
def test_header_bytes(number: int, previous: bytes, der: str) -> None:
    header = common_pb2.BlockHeader(number=number, previous_hash=previous, data_hash=b"\x22" * 32)
    assert header_bytes(header).hex() == der
    assert header_hash(header) == hashlib.sha256(bytes.fromhex(der)).digest()


@given(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.binary(max_size=70_000))
def test_header_bytes_read_back(number: int, previous: bytes, data: bytes) -> None:
    raw = header_bytes(common_pb2.BlockHeader(number=number, previous_hash=previous, data_hash=data))
    body, rest = _read(raw, 0x30)
    assert rest == b""
    first, rest = _read(body, 0x02)
    second, rest = _read(rest, 0x04)
    third, rest = _read(rest, 0x04)
    assert (int.from_bytes(first, "big", signed=True), second, third, rest) == (number, previous, data, b"")


def _read(raw: bytes, tag: int) -> tuple[bytes, bytes]:
    """One DER element and what follows it."""
    assert raw[0] == tag
    length, start = raw[1], 2
    if length & 0x80:
        start = 2 + (length & 0x7F)
        length = int.from_bytes(raw[2:start], "big")
    return raw[start : start + length], raw[start + length :]


def test_data_hash_is_over_the_concatenation() -> None:
    assert data_hash([b"ab", b"c"]) == hashlib.sha256(b"abc").digest()
    assert data_hash([]) == hashlib.sha256(b"").digest()


def test_linkage(chain: TestChain, block: common_pb2.Block) -> None:
    previous = header_hash(chain.ledger.block(1).header)
    check_linkage(block, previous)
    check_linkage(chain.ledger.block(0), b"")
    with pytest.raises(InvalidBlock, match="block before"):
        check_linkage(block, bytes(32))
    changed = copy.deepcopy(block)
    changed.data.data[0] = block.data.data[0][:-1] + bytes([block.data.data[0][-1] ^ 1])
    with pytest.raises(InvalidBlock, match="data hash"):
        check_linkage(changed, previous)


def test_block_signature_holds(chain: TestChain, block: common_pb2.Block) -> None:
    verify_block_signature(block, chain.ledger.configuration)
    assert last_configuration(block) == 0


@pytest.mark.parametrize("field", ["number", "previous_hash", "data_hash"])
def test_signature_covers_the_header(chain: TestChain, block: common_pb2.Block, field: str) -> None:
    setattr(block.header, field, 7 if field == "number" else bytes(32))
    with pytest.raises(InvalidBlockSignature):
        verify_block_signature(block, chain.ledger.configuration)


def test_signature_covers_the_metadata(chain: TestChain, block: common_pb2.Block) -> None:
    metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
    metadata.value = common_pb2.OrdererBlockMetadata(
        last_config=common_pb2.LastConfig(index=1)
    ).SerializeToString()
    block.metadata.metadata[0] = metadata.SerializeToString()
    assert last_configuration(block) == 1
    with pytest.raises(InvalidBlockSignature):
        verify_block_signature(block, chain.ledger.configuration)


def test_only_orderers_of_an_orderer_organisation_sign(chain: TestChain, block: common_pb2.Block) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    of_application = chain.authorities["Org1MSP"].issue("orderer", Role.ORDERER, now=now)
    client = chain.authorities["OrdererMSP"].issue("client", Role.CLIENT, now=now)
    second = chain.authorities["OrdererMSP"].issue("orderer1", Role.ORDERER, now=now)
    for signer in (of_application, client):
        with pytest.raises(InvalidBlockSignature, match="0 of 1"):
            verify_block_signature(_resigned(block, signer), chain.ledger.configuration)
    verify_block_signature(_resigned(block, second), chain.ledger.configuration)


def test_a_bad_signature_beside_a_good_one_is_not_counted(chain: TestChain, block: common_pb2.Block) -> None:
    metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
    metadata.signatures.insert(0, common_pb2.MetadataSignature(signature_header=b"\xff", signature=b"x"))
    block.metadata.metadata[0] = metadata.SerializeToString()
    verify_block_signature(block, chain.ledger.configuration)


def test_block_0_and_unsigned_blocks(chain: TestChain, block: common_pb2.Block) -> None:
    with pytest.raises(InvalidBlockSignature, match="trust root"):
        verify_block_signature(chain.ledger.block(0), chain.ledger.configuration)
    block.metadata.metadata[0] = b""
    with pytest.raises(InvalidBlock, match="metadata"):
        verify_block_signature(block, chain.ledger.configuration)
    with pytest.raises(InvalidBlock, match="metadata"):
        last_configuration(block)
    del block.metadata.metadata[:]
    with pytest.raises(InvalidBlock):
        verify_block_signature(block, chain.ledger.configuration)


def _resigned(block: common_pb2.Block, signer: Signer) -> common_pb2.Block:
    changed = copy.deepcopy(block)
    metadata = common_pb2.Metadata.FromString(changed.metadata.metadata[0])
    header = common_pb2.SignatureHeader(creator=signer.serialized(), nonce=b"n" * 24).SerializeToString()
    signature = signer.sign(block_signature_bytes(metadata.value, header, changed.header))
    del metadata.signatures[:]
    metadata.signatures.add(signature_header=header, signature=signature)
    changed.metadata.metadata[0] = metadata.SerializeToString()
    return changed


class TestBft:
    """Four consenters, named by their ids: three must sign (n = 4, f = 1)."""

    @pytest.fixture
    def consenters(self, chain: TestChain) -> dict[int, Signer]:
        return {number: chain.signer("OrdererMSP", Role.ORDERER, f"o{number}") for number in (1, 2, 3, 7)}

    @pytest.fixture
    def configuration(self, chain: TestChain, consenters: dict[int, Signer]) -> Configuration:
        listed = {
            number: Consenter(number, signer.msp_id, signer.certificate_pem)
            for number, signer in consenters.items()
        }
        return dataclasses.replace(chain.ledger.configuration, consensus="BFT", consenters=listed)

    def sign(
        self, block: common_pb2.Block, signers: list[tuple[int, Signer]], value: bytes = b""
    ) -> common_pb2.Block:
        changed = copy.deepcopy(block)
        metadata = common_pb2.Metadata(value=value)
        for number, signer in signers:
            header = common_pb2.IdentifierHeader(identifier=number, nonce=b"n").SerializeToString()
            signature = signer.sign(block_signature_bytes(value, header, block.header))
            metadata.signatures.add(identifier_header=header, signature=signature)
        changed.metadata.metadata[0] = metadata.SerializeToString()
        return changed

    @pytest.mark.parametrize(("count", "quorum"), [(1, 1), (4, 3), (5, 4), (6, 4), (7, 5), (10, 7)])
    def test_quorum(self, configuration: Configuration, count: int, quorum: int) -> None:
        some = configuration.consenters[1]
        listed = dict.fromkeys(range(count), some)
        assert dataclasses.replace(configuration, consenters=listed).orderer_quorum == quorum

    def test_three_of_four(
        self, block: common_pb2.Block, configuration: Configuration, consenters: dict[int, Signer]
    ) -> None:
        signers = list(consenters.items())
        verify_block_signature(self.sign(block, signers[1:]), configuration)
        with pytest.raises(InvalidBlockSignature, match="2 of 3"):
            verify_block_signature(self.sign(block, signers[:2]), configuration)

    def test_one_signer_counts_once(
        self, block: common_pb2.Block, configuration: Configuration, consenters: dict[int, Signer]
    ) -> None:
        signers = list(consenters.items())
        with pytest.raises(InvalidBlockSignature, match="2 of 3"):
            verify_block_signature(self.sign(block, [signers[0], signers[0], signers[1]]), configuration)

    def test_key_and_id_must_fit(
        self, block: common_pb2.Block, configuration: Configuration, consenters: dict[int, Signer]
    ) -> None:
        swapped = [(1, consenters[2]), (2, consenters[1]), (3, consenters[3]), (9, consenters[7])]
        with pytest.raises(InvalidBlockSignature, match="1 of 3"):
            verify_block_signature(self.sign(block, swapped), configuration)

    def test_a_raft_signature_is_none(self, block: common_pb2.Block, configuration: Configuration) -> None:
        with pytest.raises(InvalidBlockSignature, match="0 of 3"):
            verify_block_signature(block, configuration)


def test_validation_codes(chain: TestChain, block: common_pb2.Block) -> None:
    assert validation_codes(block) == b"\x00"
    genesis = chain.ledger.block(0)
    assert validation_codes(genesis) == b"\x00"
    del genesis.metadata.metadata[:]
    assert validation_codes(genesis) == b"\x00"
    block.metadata.metadata[2] = b"\x00\x00"
    with pytest.raises(InvalidBlock, match="1 envelopes and 2"):
        validation_codes(block)
    del block.metadata.metadata[2:]
    with pytest.raises(InvalidBlock):
        validation_codes(block)


@given(st.binary(max_size=200))
def test_garbage_is_no_block(raw: bytes) -> None:
    try:
        block = parse_block(raw)
    except InvalidBlock:
        return
    assert block.HasField("header")


def test_module_is_light() -> None:
    """Whoever only checks blocks loads neither contracts nor number theory."""
    rooms = "('gmpy2', 'chaincode', 'sqlite3')"
    program = f"import sys, protocol.blocks; print([name for name in {rooms} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
