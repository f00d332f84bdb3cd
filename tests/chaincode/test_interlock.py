from __future__ import annotations

from dataclasses import replace

import pytest
from contract_chains import Anchored, AnchoringChain, carry, signature
from contract_people import Interlocked
from world_state import ReadConflict, caller

from accumulator import AppendOnlyProof, decode_append_only, encode_append_only
from chaincode.api import AcceptAnchor, GetAnchor, GetHeads, Rebase
from chaincode.context import Context
from chaincode.errors import (
    AlreadyAnchored,
    BadAppendOnlyProof,
    BadContinuity,
    BadSignature,
    Conflict,
    ConflictingAnchor,
    ContractError,
    Gap,
    InvalidArgument,
    NotFound,
    StaleAnchor,
    ThresholdNotMet,
    UnknownSource,
    WrongParameters,
)
from chaincode.heads import require_current_anchor
from identity import KeyPair, Role
from protocol.anchors import AnchorStatement, LatestAnchor, SignedStatement
from protocol.commitments import rebase_bytes


def resigned(chain: AnchoringChain, anchored: Anchored, **changes: object) -> Anchored:
    """The anchor with other fields, signed by the quorum and proved anew: everything but honest."""
    statement = replace(anchored.statement, **changes)
    signatures = tuple(signature(msp_id, statement.signing_bytes()) for msp_id in chain.organisations[:2])
    return replace(anchored, signed=SignedStatement(statement, signatures))


def refused(anchored: Anchored, target: AnchoringChain) -> ContractError:
    before = dict(target.world.values)
    with pytest.raises(ContractError) as caught:
        carry(anchored, target)
    assert target.world.values == before
    return caught.value


def test_anchors_go_up_and_down_and_anybody_carries_them(chains: Interlocked) -> None:
    first = chains.a.anchor()
    message = AcceptAnchor(first.signed, first.append_only)
    result = chains.main.submit(message, caller("Cloud2", Role.CLIENT))
    assert (result.chain, result.number, result.statement) == ("edge-a", 1, first.statement.digest())
    second = chains.a.anchor()
    carry(second, chains.main)
    assert chains.main.evaluate(GetAnchor("edge-a", 1)) == first.signed
    assert chains.main.evaluate(GetAnchor("edge-a", 0)) == second.signed
    head = LatestAnchor("edge-a", 2, second.statement.digest())
    assert chains.main.evaluate(GetHeads()).heads == (head,)
    down = chains.main.anchor()
    assert down.statement.latest == (head,)
    carry(down, chains.a)
    carry(down, chains.b)
    assert chains.a.evaluate(GetAnchor("main", 1)) == chains.b.evaluate(GetAnchor("main", 0))


def test_an_accepted_anchor_is_refused_as_done(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    carry(anchored, chains.main)
    assert isinstance(refused(anchored, chains.main), AlreadyAnchored)
    carry(chains.a.anchor(), chains.main)
    assert isinstance(refused(anchored, chains.main), AlreadyAnchored)


def test_another_statement_with_an_accepted_number_is_evidence(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    carry(anchored, chains.main)
    carry(chains.a.anchor(), chains.main)
    other = resigned(chains.a, anchored, tree_root=b"\x07" * 32)
    error = refused(other, chains.main)
    assert isinstance(error, ConflictingAnchor)
    assert error.details == {
        "accepted": anchored.statement.digest().hex(),
        "refused": other.statement.digest().hex(),
    }


def test_an_unsigned_statement_is_no_evidence(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    carry(anchored, chains.main)
    unsigned = replace(
        anchored,
        signed=SignedStatement(replace(anchored.statement, news=0), anchored.signed.signatures),
    )
    assert isinstance(refused(unsigned, chains.main), BadSignature)


def test_a_gap_is_refused(chains: Interlocked) -> None:
    chains.a.anchor()
    assert isinstance(refused(chains.a.anchor(), chains.main), Gap)


def test_an_unknown_chain_and_the_own_chain_are_refused(chains: Interlocked) -> None:
    assert isinstance(refused(chains.a.anchor(), chains.b), UnknownSource)
    assert isinstance(refused(chains.b.anchor(), chains.b), InvalidArgument)
    with pytest.raises(UnknownSource):
        chains.b.evaluate(GetAnchor("edge-a", 0))
    with pytest.raises(NotFound):
        chains.main.evaluate(GetAnchor("edge-a", 0))
    with pytest.raises(NotFound):
        chains.main.evaluate(GetAnchor("edge-a", 1))


def test_exactly_the_quorum_must_sign(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    a1, a2 = anchored.signed.signatures
    message = anchored.statement.signing_bytes()
    a3 = signature("A3", message)
    stranger = KeyPair.generate("ecdsa-p256-sha256")
    cases = {
        (): ThresholdNotMet,
        (a1,): ThresholdNotMet,
        (a1, a2, a3): ThresholdNotMet,
        (a1, a1): ThresholdNotMet,
        (a2, a1): ThresholdNotMet,
        (a1, signature("B1", message)): BadSignature,
        (a1, replace(a1, msp_id="A2")): BadSignature,
        (a1, signature("A2", message, stranger)): BadSignature,
        (a1, signature("A2", message + b"\x00")): BadSignature,
        (a1, replace(a2, signature=a2.signature + b"\x00")): BadSignature,
    }
    for signatures, kind in cases.items():
        error = refused(
            replace(anchored, signed=SignedStatement(anchored.statement, signatures)), chains.main
        )
        assert type(error) is kind, signatures
    other = replace(anchored, signed=SignedStatement(anchored.statement, (a2, a3)))
    carry(other, chains.main)


def test_what_contradicts_itself_is_refused_though_a_quorum_signed(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    statement = anchored.statement
    width = len(statement.value_after)
    modulus = chains.a.parameters.modulus.n
    after = int.from_bytes(statement.value_after, "big")
    listed = (LatestAnchor("edge-b", 1, b"\x01" * 32),)
    cases: list[tuple[dict[str, object], type[ContractError]]] = [
        ({"parameters": chains.b.parameters.digest}, WrongParameters),
        ({"header_hash": b"\x00" * 31}, InvalidArgument),
        ({"tree_root": b""}, InvalidArgument),
        ({"last": 0}, InvalidArgument),
        ({"news": -1}, InvalidArgument),
        ({"news": statement.last + 1}, InvalidArgument),
        ({"height": 0}, InvalidArgument),
        ({"number": 0}, InvalidArgument),
        ({"latest": listed}, InvalidArgument),
        ({"value_after": statement.value_after + b"\x00"}, InvalidArgument),
        ({"value_after": (modulus - after).to_bytes(width, "big")}, InvalidArgument),
        ({"value_after": (1).to_bytes(width, "big")}, InvalidArgument),
        ({"first": 2, "news": 0}, BadContinuity),
        ({"value_before": statement.value_after}, BadContinuity),
    ]
    for changes, kind in cases:
        error = refused(resigned(chains.a, anchored, **changes), chains.main)
        assert type(error) is kind, changes
    carry(anchored, chains.main)


def test_main_lists_distinct_sorted_anchors(chains: Interlocked) -> None:
    chains.up(chains.a)
    chains.up(chains.b)
    anchored = chains.main.anchor()
    one, two = anchored.statement.latest
    for latest in ((two, one), (one, one), (one, replace(two, statement=b""))):
        assert type(refused(resigned(chains.main, anchored, latest=latest), chains.a)) is InvalidArgument
    carry(anchored, chains.a)


def test_the_next_anchor_continues_the_head(chains: Interlocked) -> None:
    first = chains.a.anchor()
    carry(first, chains.main)
    second = chains.a.anchor()
    cases: list[dict[str, object]] = [
        {"first": second.statement.first + 1, "news": 0},
        {"first": first.statement.last},
        {"value_before": first.statement.value_before},
        {"height": first.statement.height},
    ]
    for changes in cases:
        assert type(refused(resigned(chains.a, second, **changes), chains.main)) is BadContinuity, changes
    carry(second, chains.main)


def test_the_append_only_proof_is_checked(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    parameters = chains.a.parameters
    proof = decode_append_only(parameters, anchored.append_only)
    other = encode_append_only(parameters, AppendOnlyProof(proof.z, proof.q, proof.r ^ 1))
    for raw in (b"", anchored.append_only[:-1], anchored.append_only + b"\x00", other, b"\xff" * 160):
        error = refused(replace(anchored, append_only=raw), chains.main)
        assert type(error) is BadAppendOnlyProof
    # The proof belongs to this statement: the context binds its digest.
    assert type(refused(resigned(chains.a, anchored, news=0), chains.main)) is BadAppendOnlyProof
    # A value that does not contain the elements before it.
    value = parameters.generator**3 % parameters.modulus.n
    value = min(value, parameters.modulus.n - value)
    changed = resigned(chains.a, anchored, value_after=value.to_bytes(parameters.value_bytes, "big"))
    assert type(refused(changed, chains.main)) is BadAppendOnlyProof


def test_two_relays_at_once_do_no_harm(chains: Interlocked) -> None:
    anchored = chains.a.anchor()
    message = AcceptAnchor(anchored.signed, anchored.append_only)
    one = chains.main.simulate(message, chains.main.relay)
    two = chains.main.simulate(message, chains.main.relay)
    chains.main.commit(one)
    with pytest.raises(ReadConflict):
        chains.main.commit(two)
    with pytest.raises(AlreadyAnchored):
        chains.main.simulate(message, chains.main.relay)


def rebased(
    chain: AnchoringChain,
    statement: AnchorStatement,
    base: int,
    replaces: bytes,
    organisations: tuple[str, ...],
) -> Rebase:
    message = rebase_bytes(replaces, statement.digest())
    return Rebase(
        statement=statement,
        base=base,
        replaces=replaces,
        signatures=tuple(signature(msp_id, message) for msp_id in organisations),
    )


def test_a_wrong_head_is_superseded_and_stays_readable(chains: Interlocked) -> None:
    good = chains.a.anchor()
    carry(good, chains.main)
    wrong = chains.a.anchor()
    carry(wrong, chains.main)
    right = replace(wrong.statement, number=3, header_hash=b"\x05" * 32)
    message = rebased(chains.a, right, 1, wrong.statement.digest(), ("A1", "A2"))
    result = chains.main.submit(message, chains.main.relay)
    assert (result.number, result.replaces) == (3, wrong.statement.digest())
    assert chains.main.evaluate(GetAnchor("edge-a", 2)) == wrong.signed
    assert chains.main.evaluate(GetAnchor("edge-a", 0)).statement == right
    context = Context(chains.main.world.simulate(), "main", "t", 0, chains.main.relay)
    assert require_current_anchor(context, "edge-a", 1) == good.statement
    assert require_current_anchor(context, "edge-a", 3) == right
    with pytest.raises(StaleAnchor):
        require_current_anchor(context, "edge-a", 2)
    with pytest.raises(Conflict):
        chains.main.submit(message, chains.main.relay)


def test_a_rebase_to_the_start_of_the_chain(chains: Interlocked) -> None:
    wrong = chains.a.anchor()
    carry(wrong, chains.main)
    right = replace(wrong.statement, number=2, header_hash=b"\x05" * 32)
    message = rebased(chains.a, right, 0, wrong.statement.digest(), ("A2", "A3"))
    chains.main.submit(message, chains.main.relay)
    context = Context(chains.main.world.simulate(), "main", "t", 0, chains.main.relay)
    with pytest.raises(StaleAnchor):
        require_current_anchor(context, "edge-a", 1)


def test_refused_rebases(chains: Interlocked) -> None:
    carry(chains.a.anchor(), chains.main)
    wrong = chains.a.anchor()
    carry(wrong, chains.main)
    head = wrong.statement.digest()
    right = replace(wrong.statement, number=3, header_hash=b"\x05" * 32)
    both = ("A1", "A2")
    good = rebased(chains.a, right, 1, head, both)
    cases: list[tuple[Rebase, type[ContractError]]] = [
        (rebased(chains.a, right, 1, b"\x01" * 32, both), Conflict),
        (rebased(chains.a, right, 2, head, both), Conflict),
        (rebased(chains.a, right, -1, head, both), Conflict),
        (rebased(chains.a, right, 1, head, ("A1",)), ThresholdNotMet),
        (rebased(chains.a, right, 1, head, ("A1", "B1")), BadSignature),
        (replace(good, statement=replace(right, news=0)), BadSignature),
        # Signatures for an ordinary anchor do not replace a head.
        (replace(good, signatures=tuple(signature(m, right.signing_bytes()) for m in both)), BadSignature),
        (rebased(chains.a, replace(right, number=4), 1, head, both), Gap),
        (rebased(chains.a, right, 0, head, both), BadContinuity),
        (rebased(chains.a, replace(right, first=right.first + 1, news=0), 1, head, both), BadContinuity),
        (rebased(chains.a, replace(right, chain="edge-c"), 1, head, both), UnknownSource),
        (rebased(chains.a, replace(right, chain="main"), 1, head, both), InvalidArgument),
        (rebased(chains.a, replace(right, value_after=b""), 1, head, both), InvalidArgument),
    ]
    for message, kind in cases:
        with pytest.raises(ContractError) as caught:
            chains.main.submit(message, chains.main.relay)
        assert type(caught.value) is kind, message
    chains.main.submit(good, chains.main.relay)
