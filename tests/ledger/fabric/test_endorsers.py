"""Who endorsed is remembered, asked together, and forgotten when one of them fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from fabric_protos.peer import transaction_pb2
from fake_gateway import FakeGateway
from grpc_fault import Fault

from ledger.fabric import (
    CommitError,
    EndorseError,
    Endorsers,
    Endpoint,
    ErrorDetail,
    Identity,
    MalformedMessage,
    Sign,
    Transaction,
    connect,
    submit_until_committed,
)

CODE = transaction_pb2.TxValidationCode
Member = tuple[Identity, Sign]
TWO = ("Org1MSP", "Org2MSP")
REFUSED = "chaincode response 409, no"


def submit(
    endpoint: Endpoint, member: Member, endorsers: Endorsers, times: int = 1, **options: Any
) -> Endorsers:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            for _ in range(times):
                await submit_until_committed(contract, "write", ["a"], endorsers=endorsers, **options)

    asyncio.run(play())
    return endorsers


def failure(*messages: str, organisations: Sequence[str] = TWO) -> Fault:
    details = tuple(
        ErrorDetail(f"peer:{7051 + at}", msp_id, message)
        for at, (msp_id, message) in enumerate(zip(organisations, messages, strict=False))
    )
    return Fault(grpc.StatusCode.ABORTED, "failed to collect enough transaction endorsements", details)


def asked(fake: FakeGateway) -> list[Sequence[str]]:
    return [tuple(request.endorsing_organizations) for request in fake.proposals]


@pytest.fixture
def known(fake: FakeGateway, endpoint: Endpoint, member: Member) -> Endorsers:
    """Two organisations endorsed a transaction that is valid."""
    fake.endorsers = TWO
    endorsers = submit(endpoint, member, Endorsers())
    assert endorsers.known == TWO
    fake.proposals.clear()
    return endorsers


def test_they_are_asked_from_then_on(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    submit(endpoint, member, known, times=2)
    assert asked(fake) == [TWO, TWO]


def test_who_is_named_is_asked_alone(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    submit(endpoint, member, known, endorsing_organizations=["Org3MSP"])
    assert asked(fake) == [("Org3MSP",)]
    assert known.known == TWO


@pytest.mark.parametrize(
    "fault",
    [
        Fault(grpc.StatusCode.UNAVAILABLE, "failed to find any endorsing peers for org(s): Org2MSP"),
        failure("connection refused"),
        failure(REFUSED),  # Org2MSP has endorsed: the other may lack a block
        failure(REFUSED, REFUSED, organisations=("Org1MSP", "Org1MSP")),  # two peers of one
        failure(REFUSED, "connection refused"),
        failure("ProposalResponsePayloads do not match"),
    ],
)
def test_when_one_fails_the_peer_finds_others(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers, fault: Fault
) -> None:
    fake.faults["Endorse"].append(fault)
    fake.endorsers = ("Org1MSP", "Org3MSP")
    submit(endpoint, member, known, attempts=1)
    assert asked(fake) == [()]
    assert known.known == fake.endorsers


def test_a_refusal_by_all_of_them_stands(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.faults["Endorse"].append(failure(REFUSED, REFUSED))
    with pytest.raises(EndorseError) as caught:
        submit(endpoint, member, known)
    assert caught.value.chaincode_response is not None
    assert asked(fake) == []
    assert known.known == TWO


def test_what_fails_with_any_is_told(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.faults["Endorse"].extend([failure("access denied", "access denied")] * 2)
    with pytest.raises(EndorseError):
        submit(endpoint, member, known)
    assert known.known == ()
    assert not fake.faults["Endorse"]


def test_those_who_are_slow_are_not_remembered_again(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.faults["Endorse"].append(lambda: time.sleep(2))
    submit(endpoint, member, known, timeout=2.0)  # of which half is for them
    assert asked(fake)[0] == ()
    assert known.known == ()
    fake.endorsers = ("Org1MSP", "Org3MSP")
    submit(endpoint, member, known)
    assert known.known == fake.endorsers


def test_those_who_use_up_the_time_are_forgotten(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.faults["Endorse"].extend([lambda: time.sleep(1)] * 2)
    with pytest.raises(EndorseError):
        submit(endpoint, member, known, timeout=0.3)
    assert known.known == ()


def test_what_no_others_could_change_is_told_at_once(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.faults["Endorse"].append(failure("received message larger than max (5 vs. 4)"))
    with pytest.raises(EndorseError):
        submit(endpoint, member, known)
    assert known.known == TWO


def test_nobody_is_named_where_data_is_transient(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.endorsers = ("Org3MSP",)
    submit(endpoint, member, known, transient={"secret": b"x"})
    assert asked(fake) == [()]
    assert known.known == TWO


def test_who_is_no_identity_is_not_remembered(
    fake: FakeGateway, endpoint: Endpoint, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Transaction) -> tuple[str, ...]:
        raise MalformedMessage("these bytes are no endorser")

    monkeypatch.setattr(Transaction, "get_endorsers", broken)
    assert submit(endpoint, member, Endorsers()).known == ()


def test_a_late_failure_leaves_what_was_learnt_since(known: Endorsers) -> None:
    assert known.forget(("Org1MSP", "Org3MSP"), EndorseError("no"))
    assert known.known == TWO


def test_where_they_are_not_enough_none_are_remembered(
    fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers
) -> None:
    fake.codes.append(CODE.ENDORSEMENT_POLICY_FAILURE)
    submit(endpoint, member, known, times=2, attempts=1)
    assert asked(fake) == [TWO, (), ()]
    assert known.known == ()


def test_a_policy_that_fails_with_those_whom_the_peer_found_is_told(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    fake.codes.append(CODE.ENDORSEMENT_POLICY_FAILURE)
    with pytest.raises(CommitError):
        submit(endpoint, member, Endorsers())
    assert len(fake.proposals) == 1


def test_two_peers_of_one_organisation_are_not_remembered(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    fake.endorsers = ("Org1MSP", "Org1MSP")
    assert submit(endpoint, member, Endorsers()).known == ()


def test_conflicts_keep_them(fake: FakeGateway, endpoint: Endpoint, member: Member, known: Endorsers) -> None:
    fake.codes.append(CODE.MVCC_READ_CONFLICT)
    submit(endpoint, member, known)
    assert asked(fake) == [TWO, TWO]
