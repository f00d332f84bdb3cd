from __future__ import annotations

from dataclasses import replace

import pytest
from contract_chains import signature
from contract_people import Interlocked
from world_state import FakeChain, ReadConflict, caller

from chaincode.api import FixCut, GetCut, ReplaceRoster, SignAnchor
from chaincode.errors import (
    AccessDenied,
    AlreadyCut,
    AlreadySigned,
    BadSignature,
    ConflictingStatement,
    Gap,
    InvalidArgument,
    NotFound,
    UnfinishedCut,
    UnknownSource,
    WrongParameters,
)
from identity import KeyPair, Role
from protocol.anchors import AnchorStatement

SIGNER = {name: caller(name, Role.ANCHOR_SIGNER) for name in ("A1", "A2", "A3", "B1")}


def signed(statement: AnchorStatement, msp_id: str) -> SignAnchor:
    return SignAnchor(statement, signature(msp_id, statement.signing_bytes()))


@pytest.mark.parametrize("role", [Role.RELAY, Role.ANCHOR_SIGNER, Role.ADMIN])
def test_a_cut_is_the_last_plus_one(chains: Interlocked, role: Role) -> None:
    by = caller("A1", role)
    for number in (0, 2):
        with pytest.raises((AlreadyCut, Gap)):
            chains.a.submit(FixCut(number), by)
    assert chains.a.submit(FixCut(1), by).number == 1
    with pytest.raises(AlreadyCut):
        chains.a.submit(FixCut(1), by)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.GATEWAY, Role.TRAINER, Role.PEER, Role.AUDITOR])
def test_others_fix_no_cut(chains: Interlocked, role: Role) -> None:
    with pytest.raises(AccessDenied):
        chains.a.submit(FixCut(1), caller("A1", role))


def test_a_chain_without_its_own_roster_fixes_no_cut() -> None:
    with pytest.raises(UnknownSource):
        FakeChain("edge-z").submit(FixCut(1), caller("A1", Role.RELAY))


def test_cuts_never_pile_up(chains: Interlocked) -> None:
    statement = chains.a.fix_cut()
    with pytest.raises(UnfinishedCut):
        chains.a.submit(FixCut(2), chains.a.relay)
    chains.a.sign(statement, "A3")
    with pytest.raises(UnfinishedCut):
        chains.a.submit(FixCut(2), chains.a.relay)
    # Two organisations with two statements are no quorum.
    chains.a.submit(signed(replace(statement, news=0), "A1"), SIGNER["A1"])
    with pytest.raises(UnfinishedCut):
        chains.a.submit(FixCut(2), chains.a.relay)
    chains.a.sign(statement, "A2")
    assert chains.a.submit(FixCut(2), chains.a.relay).number == 2


def test_two_cuts_at_once_conflict(chains: Interlocked) -> None:
    one, two = (chains.a.simulate(FixCut(1), chains.a.relay) for _ in range(2))
    chains.a.commit(one)
    with pytest.raises(ReadConflict):
        chains.a.commit(two)


def test_only_main_lists_heads(chains: Interlocked) -> None:
    chains.up(chains.a)
    chains.down()
    assert chains.a.fix_cut().latest == ()
    chains.up(chains.b)
    assert [anchor.chain for anchor in chains.main.fix_cut().latest] == ["edge-a", "edge-b"]


def test_signatures_gather_under_keys_of_their_own(chains: Interlocked) -> None:
    assert chains.a.evaluate(GetCut(0)).number == 0
    statement = chains.a.fix_cut()
    messages = [signed(statement, msp_id) for msp_id in ("A2", "A1")]
    # Simulated together: neither sees or disturbs the other.
    pending = [chains.a.simulate(m, SIGNER[m.signature.msp_id]) for m in messages]
    for each in pending:
        assert each.simulation.writes.keys() == {f"anchor-signature/1/{each.result.msp_id}"}
        chains.a.commit(each)
    status = chains.a.evaluate(GetCut(0))
    assert status == chains.a.evaluate(GetCut(1))
    assert status.statements == (statement,)
    assert [each.msp_id for each in status.signatures] == ["A1", "A2"]
    with pytest.raises(NotFound):
        chains.a.evaluate(GetCut(2))


def test_an_organisation_signs_one_statement_of_a_cut(chains: Interlocked) -> None:
    statement = chains.a.fix_cut()
    chains.a.sign(statement, "A1")
    with pytest.raises(AlreadySigned):
        chains.a.sign(statement, "A1")
    other = replace(statement, tree_root=b"\x01" * 32)
    with pytest.raises(ConflictingStatement) as caught:
        chains.a.sign(other, "A1")
    assert caught.value.details == [statement.digest().hex(), other.digest().hex()]
    chains.a.sign(other, "A2")
    assert len(chains.a.evaluate(GetCut(1)).statements) == 2


def test_who_may_sign(chains: Interlocked) -> None:
    statement = chains.a.fix_cut()
    good = signed(statement, "A1")
    for by in (caller("A1", Role.RELAY), caller("A1", Role.ADMIN), SIGNER["A2"]):
        with pytest.raises(AccessDenied):
            chains.a.submit(good, by)
    with pytest.raises(AccessDenied, match="roster"):
        chains.a.submit(signed(statement, "B1"), SIGNER["B1"])


def test_what_is_signed_must_fit_the_cut(chains: Interlocked) -> None:
    statement = chains.a.fix_cut()
    foreign = chains.b.parameters.digest
    cases = [
        (signed(replace(statement, chain="edge-b"), "A1"), InvalidArgument),
        (signed(replace(statement, number=2), "A1"), NotFound),
        (signed(replace(statement, parameters=foreign), "A1"), WrongParameters),
        (SignAnchor(statement, signature("A1", b"other")), BadSignature),
        (replace(signed(statement, "A1"), statement=replace(statement, news=0)), BadSignature),
    ]
    for message, kind in cases:
        with pytest.raises(kind):
            chains.a.submit(message, SIGNER["A1"])
    chains.up(chains.b)
    of_main = chains.main.fix_cut()
    with pytest.raises(InvalidArgument, match="list"):
        chains.main.sign(replace(of_main, latest=()), "Cloud1")


def test_a_signature_is_renewed_only_after_the_key_changed(chains: Interlocked) -> None:
    statement = chains.a.fix_cut()
    chains.a.sign(statement, "A1")
    key = KeyPair.generate("ecdsa-p256-sha256")
    old = chains.a.source.roster
    new = replace(old, version=2, keys={**old.keys, "A1": key.spki})
    signatures = tuple(signature(msp_id, new.digest()) for msp_id in ("A1", "A2"))
    chains.a.submit(ReplaceRoster(new, signatures), chains.a.relay)
    renewed = SignAnchor(statement, signature("A1", statement.signing_bytes(), key))
    chains.a.submit(renewed, SIGNER["A1"])
    with pytest.raises(AlreadySigned):
        chains.a.submit(renewed, SIGNER["A1"])
    other = replace(statement, news=0)
    with pytest.raises(ConflictingStatement):
        chains.a.submit(SignAnchor(other, signature("A1", other.signing_bytes(), key)), SIGNER["A1"])
