"""Validation codes: every fault of an envelope, each with Fabric's code, in a block and without effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chains import TestChain, make_chain
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import proposal_response_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_suite import CODE
from scratch_contract import Get, Put, invoke

from identity.authority import DevelopmentAuthority
from identity.roles import Role
from identity.signers import Signer
from ledger.embedded.proposals import Proposal, assemble, endorse, response_payload
from ledger.embedded.rows import Version
from ledger.embedded.validation import Prepared, check_reads, prepare
from ledger.errors import code_name, invalid_transaction
from ledger.port import evaluate_typed
from protocol.blocks import validation_codes


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestChain]:
    made = make_chain(tmp_path_factory.mktemp("validation"), invoke=invoke)
    yield made
    made.ledger.verify()
    made.close()


def results(**fields: object) -> bytes:
    """``TxReadWriteSet`` bytes with one name space, by default an honest write of ``a``."""
    inner = kv_rwset_pb2.KVRWSet(writes=[kv_rwset_pb2.KVWrite(key="a", value=b"forged")])
    for name, value in fields.items():
        if name != "namespace":
            inner.ClearField(name)
            getattr(inner, name).extend(value)  # type: ignore[arg-type]
    outer = rwset_pb2.TxReadWriteSet()
    outer.ns_rwset.add(namespace=str(fields.get("namespace", "edgeproof")), rwset=inner.SerializeToString())
    return bytes(outer.SerializeToString())


def forged(
    chain: TestChain,
    written: bytes,
    *,
    signer: Signer | None = None,
    chaincode: str = "edgeproof",
    event: tuple[str, bytes] | None = None,
) -> bytes:
    """An envelope with any results, endorsed by peers that do as they are told."""
    submitter = signer or chain.signer("Org1MSP", Role.CLIENT)
    now = int(datetime.now(UTC).timestamp() * 1000)
    proposal = Proposal.create(submitter, "main", (b"scratch:put", b"{}"), now, chaincode)
    response = response_payload(proposal, written, b"{}", event)
    return assemble(proposal, response, [endorse(entry, response) for entry in chain.endorsers], submitter)


def ordered(chain: TestChain, envelope: bytes) -> int:
    """The code that an envelope gets, which its block shows too."""
    status = chain.ledger.order(envelope)
    block = chain.ledger.block(status.block)
    assert bytes(block.data.data[status.index]) == envelope
    assert validation_codes(block)[status.index] == status.code
    if status.code != CODE.VALID:
        assert evaluate_typed(chain.ledger, Get("a")).text != "forged"
    return status.code


def test_honest_results_are_valid(tmp_path: Path) -> None:
    chain = make_chain(tmp_path, invoke=invoke)
    assert chain.ledger.order(forged(chain, results())).code == CODE.VALID
    assert evaluate_typed(chain.ledger, Get("a")).text == "forged"
    chain.close()


WRITE = kv_rwset_pb2.KVWrite


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (b"\xff", CODE.BAD_RWSET),
        (results(namespace="other"), CODE.ILLEGAL_WRITESET),
        (results() + results(), CODE.ILLEGAL_WRITESET),
        (results(writes=[WRITE(key="", value=b"x")]), CODE.INVALID_WRITESET),
        (results(writes=[WRITE(key="a\x00b", value=b"x")]), CODE.INVALID_WRITESET),
        (results(writes=[WRITE(key="a", value=b"")]), CODE.INVALID_WRITESET),
        (results(metadata_writes=[kv_rwset_pb2.KVMetadataWrite(key="a")]), CODE.BAD_RWSET),
        (
            results(
                range_queries_info=[
                    kv_rwset_pb2.RangeQueryInfo(
                        reads_merkle_hashes=kv_rwset_pb2.QueryReadsMerkleSummary(max_degree=2)
                    )
                ]
            ),
            CODE.BAD_RWSET,
        ),
        (
            results(
                reads=[
                    kv_rwset_pb2.KVRead(key="a", version=kv_rwset_pb2.Version(block_num=2**63, tx_num=2**63))
                ]
            ),
            CODE.MVCC_READ_CONFLICT,
        ),
    ],
)
def test_results(chain: TestChain, written: bytes, code: int) -> None:
    assert ordered(chain, forged(chain, written)) == code


def test_another_chaincode(chain: TestChain) -> None:
    assert ordered(chain, forged(chain, results(), chaincode="other")) == CODE.INVALID_CHAINCODE


def test_a_refusal_that_was_endorsed(chain: TestChain) -> None:
    signer = chain.signer("Org1MSP", Role.CLIENT)
    now = int(datetime.now(UTC).timestamp() * 1000)
    proposal = Proposal.create(signer, "main", (b"scratch:put", b"{}"), now)
    raw = response_payload(proposal, results(), b"{}", None)
    opened = proposal_response_pb2.ProposalResponsePayload.FromString(raw)
    opened.extension = opened.extension.replace(b"\x08\xc8\x01", b"\x08\xf4\x03")  # status 200 to 500
    response = opened.SerializeToString(deterministic=True)
    assert response != raw
    envelope = assemble(proposal, response, [endorse(entry, response) for entry in chain.endorsers], signer)
    assert ordered(chain, envelope) == CODE.BAD_RESPONSE_PAYLOAD


def test_creators(chain: TestChain, tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    impostor = DevelopmentAuthority.create("Org1MSP", tmp_path / "impostor", now=now).issue(
        "impostor", Role.CLIENT, now=now
    )
    assert ordered(chain, forged(chain, results(), signer=impostor)) == CODE.BAD_CREATOR_SIGNATURE
    envelope = common_pb2.Envelope.FromString(chain.ledger.endorsed(Put("b", "1")))
    envelope.signature = chain.signer("Org1MSP", Role.ADMIN).sign(envelope.payload)
    assert ordered(chain, envelope.SerializeToString(deterministic=True)) == CODE.BAD_CREATOR_SIGNATURE


def test_a_forged_signature_takes_no_transaction_id(chain: TestChain) -> None:
    """Nobody can use up another's transaction id with an envelope that its owner never signed."""
    honest = chain.ledger.endorsed(Put("c", "1"))
    copied = common_pb2.Envelope.FromString(honest)
    copied.signature = chain.signer("Org2MSP", Role.CLIENT).sign(copied.payload)
    assert ordered(chain, copied.SerializeToString(deterministic=True)) == CODE.BAD_CREATOR_SIGNATURE
    assert ordered(chain, honest) == CODE.VALID


def test_endorsers(chain: TestChain, tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    impostor = DevelopmentAuthority.create("Org2MSP", tmp_path / "impostor", now=now).issue(
        "peer0", Role.PEER, now=now
    )
    chosen = dataclasses.replace(chain, endorsers=(chain.endorsers[0], impostor))
    assert ordered(chain, forged(chosen, results())) == CODE.ENDORSEMENT_POLICY_FAILURE
    orderer = chain.authorities["OrdererMSP"].issue("peer0", Role.PEER, now=now)
    chosen = dataclasses.replace(chain, endorsers=(chain.endorsers[0], orderer))
    assert ordered(chain, forged(chosen, results())) == CODE.ENDORSEMENT_POLICY_FAILURE


def test_expired_endorser_still_counts(chain: TestChain) -> None:
    """Key validity goes by the configuration in force, never by the clock of whoever looks later."""
    now = datetime.now(UTC) - timedelta(minutes=4)
    late = chain.authorities["Org2MSP"].issue("peer1", Role.PEER, now=now, lifetime=timedelta(minutes=1))
    chosen = dataclasses.replace(chain, endorsers=(chain.endorsers[0], late))
    envelope = forged(chosen, results(writes=[WRITE(key="d", value=b"x")]))
    assert ordered(chain, envelope) == CODE.VALID


@pytest.mark.parametrize("raw", [b"\x00", b"\xff\xff", b"\x0a\x01\xff"])
def test_garbage_is_kept_and_marked(chain: TestChain, raw: bytes) -> None:
    assert ordered(chain, raw) in (CODE.INVALID_OTHER_REASON, CODE.BAD_PAYLOAD)


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(min_size=1, max_size=300))
def test_any_bytes_get_a_code(chain: TestChain, raw: bytes) -> None:
    found = prepare(raw, chain.ledger.configuration, "edgeproof")
    assert found.code != CODE.VALID
    assert found.identifier == ""


def test_codes_have_names_and_errors() -> None:
    assert code_name(11) == "MVCC_READ_CONFLICT"
    assert code_name(77) == "code 77"
    assert invalid_transaction(12).retryable
    assert not invalid_transaction(10).retryable
    assert not invalid_transaction(77).retryable


# ------------------------------------------------------------------ reads against a model

KEYS = st.sampled_from(["", "a", "a/1", "a/2", "b", "ä", "\U0001f600"])
VERSIONS = st.tuples(st.integers(1, 3), st.integers(0, 2))


class Model:
    """A committed state as a plain dictionary."""

    def __init__(self, state: dict[str, Version]) -> None:
        self.state = state

    def version(self, key: str) -> Version | None:
        return self.state.get(key)

    def versions(self, start: str, end: str, *, closed: bool) -> list[tuple[str, Version]]:
        return [(key, self.state[key]) for key in sorted(self.state) if inside(key, start, end, closed)]


def inside(key: str, start: str, end: str, closed: bool) -> bool:
    return key >= start and (not end or key < end or (closed and key == end))


@settings(max_examples=300, deadline=None)
@given(
    before=st.dictionaries(KEYS.filter(bool), VERSIONS),
    overlay=st.dictionaries(KEYS.filter(bool), st.none() | st.tuples(st.just(9), st.integers(0, 2))),
    start=KEYS,
    end=KEYS,
    limit=st.integers(0, 3),
)
def test_ranges_against_a_model(
    before: dict[str, Version], overlay: dict[str, Version | None], start: str, end: str, limit: int
) -> None:
    """A range is a phantom conflict exactly if reading it again, after the overlay, gives something else."""
    found = [(key, before[key]) for key in sorted(before) if inside(key, start, end, False)]
    exhausted = not limit or limit > len(found)
    read = found if exhausted else found[:limit]
    last = end if exhausted else read[-1][0]
    info = kv_rwset_pb2.RangeQueryInfo(
        start_key=start,
        end_key=last,
        itr_exhausted=exhausted,
        raw_reads=kv_rwset_pb2.QueryReads(
            kv_reads=[
                kv_rwset_pb2.KVRead(key=key, version=kv_rwset_pb2.Version(block_num=block, tx_num=position))
                for key, (block, position) in read
            ]
        ),
    )
    after: dict[str, Version | None] = {**before, **overlay}
    again = [
        (key, after[key])
        for key in sorted(after)
        if after[key] is not None and inside(key, start, last, not exhausted)
    ]
    code = check_reads(Prepared(b"", "", 0, ranges=(info,)), Model(before), overlay)
    assert code == (CODE.VALID if again == read else CODE.PHANTOM_READ_CONFLICT)


@pytest.mark.parametrize(
    ("read", "overlay", "code"),
    [
        (("a", (1, 0)), {}, CODE.VALID),
        (("x", None), {}, CODE.VALID),
        (("a", None), {}, CODE.MVCC_READ_CONFLICT),
        (("x", (1, 0)), {}, CODE.MVCC_READ_CONFLICT),
        (("a", (1, 1)), {}, CODE.MVCC_READ_CONFLICT),
        (("a", (1, 0)), {"a": None}, CODE.MVCC_READ_CONFLICT),
        (("x", None), {"x": (9, 0)}, CODE.MVCC_READ_CONFLICT),
        (("a", (1, 0)), {"b": (9, 0)}, CODE.VALID),
    ],
)
def test_reads(read: tuple[str, Version | None], overlay: dict[str, Version | None], code: int) -> None:
    assert check_reads(Prepared(b"", "", 0, reads=(read,)), Model({"a": (1, 0)}), overlay) == code
