"""Outcomes: conflicts, lost answers, orderers that are away."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from typing import Any

import grpc
import pytest
from fabric_protos.peer import transaction_pb2
from fake_gateway import FakeGateway
from grpc_fault import Fault

from ledger.fabric import (
    CommitError,
    Committed,
    EndorseError,
    Endpoint,
    ErrorDetail,
    Identity,
    OutcomeUnknown,
    Sign,
    Status,
    SubmitError,
    connect,
    submit_until_committed,
)

CODE = transaction_pb2.TxValidationCode
Member = tuple[Identity, Sign]
DIAL = ErrorDetail("orderer:7050", "OrdererMSP", 'connection error: desc = "transport: Error while dialing"')


def submit(endpoint: Endpoint, member: Member, **options: Any) -> Committed:
    async def play() -> Committed:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            return await submit_until_committed(contract, "write", ["a"], **options)

    return asyncio.run(play())


def test_valid(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    done = submit(endpoint, member)
    assert (done.block_number, done.result) == (1, b"write|a")
    assert fake.find(done.transaction_id) == (1, CODE.VALID)
    assert fake.calls == ["Endorse", "Submit", "CommitStatus"]


@pytest.mark.parametrize("code", [CODE.MVCC_READ_CONFLICT, CODE.PHANTOM_READ_CONFLICT])
def test_conflicts_get_a_new_transaction(
    fake: FakeGateway, endpoint: Endpoint, member: Member, code: int
) -> None:
    fake.codes.extend([code, code])
    done = submit(endpoint, member)
    assert done.block_number == 3
    assert len({request.transaction_id for request in fake.proposals}) == 3


def test_conflicts_are_told_after_the_last_attempt(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    fake.codes.extend([CODE.MVCC_READ_CONFLICT] * 2)
    with pytest.raises(CommitError) as caught:
        submit(endpoint, member, attempts=2)
    assert caught.value.block_number == 2
    assert len(fake.blocks) == 3


def test_other_codes_are_not_tried_again(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.codes.append(CODE.ENDORSEMENT_POLICY_FAILURE)
    with pytest.raises(CommitError) as caught:
        submit(endpoint, member)
    assert not caught.value.is_conflict
    assert len(fake.blocks) == 2


def test_a_lost_answer_makes_no_second_transaction(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    fake.faults["Submit"].append(Fault(grpc.StatusCode.UNAVAILABLE, "socket closed", after=True))
    done = submit(endpoint, member)
    assert done.block_number == 1
    assert len(fake.proposals) == 1
    assert fake.calls == ["Endorse", "Submit", "CommitStatus"]


def test_a_lost_request_is_handed_over_again(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.faults["Submit"].append(Fault(grpc.StatusCode.UNAVAILABLE, "socket closed"))
    done = submit(endpoint, member)
    assert fake.find(done.transaction_id) == (1, CODE.VALID)
    assert len(fake.proposals) == 1
    assert fake.calls.count("Submit") == 2


def test_commit_status_is_asked_again(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.faults["CommitStatus"].extend([Fault(grpc.StatusCode.UNAVAILABLE)] * 2)
    done = submit(endpoint, member)
    assert fake.find(done.transaction_id) == (1, CODE.VALID)
    assert fake.calls.count("CommitStatus") == 3


def test_a_peer_that_dies_meanwhile_is_waited_for(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    def die() -> None:
        threading.Thread(target=again).start()
        time.sleep(0.2)

    def again() -> None:
        fake.stop()
        time.sleep(0.3)
        fake.start()

    fake.faults["CommitStatus"].append(die)
    done = submit(endpoint, member, timeout=20)
    assert fake.find(done.transaction_id) == (1, CODE.VALID)


class Told:
    """Outcomes as a test tells them."""

    def __init__(self, what: Any) -> None:
        self.what = what
        self.asked: list[asyncio.Future[Status]] = []

    def expect(self, transaction_id: str) -> asyncio.Future[Status] | None:
        if self.what == "blind":
            return None
        future: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self.asked.append(future)
        if self.what == "lost":
            asyncio.get_running_loop().call_later(0.05, future.cancel)
        elif self.what is not None:
            status = Status(transaction_id, 7, self.what)
            asyncio.get_running_loop().call_later(0.05, future.set_result, status)
        return future


def test_outcomes_told_by_blocks_are_not_asked_for(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    told = Told(CODE.VALID)
    assert submit(endpoint, member, outcomes=told).block_number == 7
    assert fake.calls == ["Endorse", "Submit"]
    told = Told(CODE.MVCC_READ_CONFLICT)
    with pytest.raises(CommitError):
        submit(endpoint, member, outcomes=told, attempts=2)
    assert len(told.asked) == 2


@pytest.mark.parametrize("what", ["blind", "lost", None])
def test_outcomes_that_are_not_told_are_asked_for(
    fake: FakeGateway, endpoint: Endpoint, member: Member, what: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.fabric.submission._OVERDUE_SECONDS", 0.2)
    told = Told(what)
    assert submit(endpoint, member, outcomes=told).block_number == 1
    assert fake.calls == ["Endorse", "Submit", "CommitStatus"]
    assert all(future.cancelled() for future in told.asked)


NOBODY = "no combination of peers can be derived which satisfy the endorsement policy"


def test_endorsers_that_are_not_known_yet_are_asked_for_again(
    fake: FakeGateway, endpoint: Endpoint, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.faults["Endorse"].extend([Fault(grpc.StatusCode.FAILED_PRECONDITION, NOBODY)] * 2)
    assert submit(endpoint, member).block_number == 1
    assert fake.calls.count("Endorse") == 3
    monkeypatch.setattr("ledger.fabric.submission._PLAN_PATIENCE", 0.3)
    fake.faults["Endorse"].extend([Fault(grpc.StatusCode.FAILED_PRECONDITION, NOBODY)] * 99)
    with pytest.raises(EndorseError) as caught:
        submit(endpoint, member)
    assert caught.value.is_unplanned
    assert len(fake.blocks) == 2


def test_outcome_that_cannot_be_learnt(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.faults["Submit"].extend([Fault(grpc.StatusCode.UNAVAILABLE, "socket closed")] * 99)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown) as caught:
        submit(endpoint, member, timeout=1.0)
    assert 0.9 < time.monotonic() - started < 3
    assert caught.value.transaction_id == fake.proposals[0].transaction_id


def test_refused_commit_status_leaves_the_outcome_unknown(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    fake.faults["CommitStatus"].append(Fault(grpc.StatusCode.PERMISSION_DENIED))
    with pytest.raises(OutcomeUnknown):
        submit(endpoint, member)


def test_orderers_that_come_back(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    away = Fault(grpc.StatusCode.UNAVAILABLE, "no orderers could successfully process", (DIAL, DIAL))
    fake.faults["Submit"].extend([away] * 3)
    done = submit(endpoint, member)
    assert fake.find(done.transaction_id) == (1, CODE.VALID)
    assert fake.calls == ["Endorse", *["Submit"] * 4, "CommitStatus"]


def test_orderers_that_stay_away(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    away = Fault(grpc.StatusCode.UNAVAILABLE, "no orderers could successfully process", (DIAL,))
    fake.faults["Submit"].extend([away] * 99)
    with pytest.raises(SubmitError) as caught:
        submit(endpoint, member, timeout=1.0)
    assert caught.value.is_definite
    assert not caught.value.is_refused


def test_refusals_are_told_at_once(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.faults["Submit"].append(Fault(grpc.StatusCode.ABORTED, "status=BAD_REQUEST"))
    with pytest.raises(SubmitError) as caught:
        submit(endpoint, member)
    assert caught.value.is_refused
    assert fake.calls == ["Endorse", "Submit"]
    fake.faults["Endorse"].append(Fault(grpc.StatusCode.ABORTED, "no"))
    with pytest.raises(EndorseError):
        submit(endpoint, member)


def test_one_orderer_of_two_may_have_taken_it(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    lost = ErrorDetail("orderer:7051", "OrdererMSP", "EOF")
    fake.faults["Submit"].append(
        Fault(grpc.StatusCode.UNAVAILABLE, "no orderers could process", (DIAL, lost), after=True)
    )
    done = submit(endpoint, member)
    assert done.block_number == 1
    assert len(fake.blocks) == 2


@pytest.mark.parametrize(
    "said", [DIAL.message, "received unsuccessful response from orderer: status=FORBIDDEN, info=no"]
)
def test_too_few_orderers_for_a_quorum_may_have_taken_it(
    fake: FakeGateway, endpoint: Endpoint, member: Member, said: str
) -> None:
    """SmartBFT: all are sent the envelope, and only those that failed are told of."""
    failed = (ErrorDetail("orderer:7050", "OrdererMSP", said),) * 2
    words = (
        "insufficient number of orderers could successfully process transaction to satisfy quorum requirement"
    )
    fault = Fault(grpc.StatusCode.UNAVAILABLE, words, failed)
    fake.faults["Submit"].append(dataclasses.replace(fault, after=True))
    done = submit(endpoint, member)
    assert fake.find(done.transaction_id) == (1, CODE.VALID)
    assert fake.calls == ["Endorse", "Submit", "CommitStatus"]
    fake.faults["Submit"].extend([fault] * 99)
    with pytest.raises(OutcomeUnknown) as caught:
        submit(endpoint, member, timeout=1.0)
    assert caught.value.details == failed
    assert words in str(caught.value)


def test_a_refusal_by_another_organisation_alone_is_asked_for_again(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    """It may lack the block by which one's own peer takes the call; a refusal by one's own peer stands."""
    own, words = member[0].msp_id, "failed to collect enough transaction endorsements"
    other = ErrorDetail("peer:7051", "AnotherMSP", "chaincode response 404, not-found")
    fault = Fault(grpc.StatusCode.ABORTED, words, (other,))
    fake.faults["Endorse"].extend([fault, fault])
    assert submit(endpoint, member, attempts=1).block_number == 1
    both = Fault(grpc.StatusCode.ABORTED, words, (other, dataclasses.replace(other, msp_id=own)))
    for refused, asked in ((fault, 5), (both, 1)):
        fake.faults["Endorse"].clear()
        fake.faults["Endorse"].extend([refused] * 99)
        before = fake.calls.count("Endorse")
        with pytest.raises(EndorseError) as caught:
            submit(endpoint, member)
        assert caught.value.chaincode_response is not None
        assert fake.calls.count("Endorse") == before + asked


def test_peers_that_differ_are_asked_again(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    behind = ErrorDetail("peer:7051", "Org2MSP", "ProposalResponsePayloads do not match")
    fault = Fault(grpc.StatusCode.ABORTED, "failed to collect enough transaction endorsements", (behind,))
    fake.faults["Endorse"].extend([fault, fault])
    assert submit(endpoint, member, attempts=1).block_number == 1
    fake.faults["Endorse"].extend([fault] * 99)
    with pytest.raises(EndorseError) as caught:
        submit(endpoint, member)
    assert caught.value.is_mismatch
    assert fake.calls.count("Endorse") == 3 + 5
