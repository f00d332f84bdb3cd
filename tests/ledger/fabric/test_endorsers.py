"""Who endorsed is remembered, asked together, and given up when one of them fails."""

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
    Sign,
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


def failure(*messages: str) -> Fault:
    details = tuple(
        ErrorDetail(f"peer:{7051 + at}", msp_id, message)
        for at, (msp_id, message) in enumerate(zip(TWO, messages, strict=False))
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
        Fault(grpc.StatusCode.UNAVAILABLE, "no endorsers found for organization Org2MSP"),
        failure("connection refused"),
        failure(REFUSED),  # Org2MSP has endorsed: the other may lack a block
        failure(REFUSED, "connection refused"),
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


def test_one_that_hangs_is_given_up(
    fake: FakeGateway,
    endpoint: Endpoint,
    member: Member,
    known: Endorsers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ledger.fabric.submission._TOGETHER_SECONDS", 0.3)
    fake.faults["Endorse"].append(lambda: time.sleep(1))
    fake.endorsers = ("Org1MSP", "Org3MSP")
    submit(endpoint, member, known)
    assert known.known == fake.endorsers


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
