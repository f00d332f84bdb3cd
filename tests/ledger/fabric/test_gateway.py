"""The client against a peer of its own making: stages, offline signing, limits, errors."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, transaction_pb2
from fake_gateway import FakeGateway, new_member
from grpc_fault import Fault

from ledger.fabric import (
    CallOptions,
    CommitError,
    CommitStatusError,
    EndorseError,
    Endpoint,
    ErrorDetail,
    EvaluateError,
    GatewayClosed,
    Identity,
    MalformedMessage,
    Sign,
    SubmitError,
    connect,
    sha256,
)

CODE = transaction_pb2.TxValidationCode
Member = tuple[Identity, Sign]


def test_evaluate_and_submit(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            assert await contract.evaluate_transaction("read", "ä", b"\xff") == b"read|\xc3\xa4|\xff"
            assert len(fake.blocks) == 1
            assert await contract.submit_transaction("write", "a", "1") == b"write|a|1"
            assert len(fake.blocks) == 2
            named = gateway.get_network("chain").get_contract("basic", "records")
            assert await named.evaluate_transaction("read") == b"records:read"

    asyncio.run(play())


def test_stages(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            proposal = contract.new_proposal(
                "write", ["a"], transient={"secret": b"x"}, endorsing_organizations=["Org2MSP"]
            )
            transaction = await proposal.endorse()
            assert transaction.get_result() == b"write|a"
            assert transaction.get_endorsers() == ("Org2MSP",)
            assert len(fake.blocks) == 1
            submitted = await transaction.submit()
            assert submitted.get_result() == b"write|a"
            status = await submitted.get_status()
            assert (status.successful, status.block_number, status.code) == (True, 1, CODE.VALID)
            names = {entry.transaction_id for entry in (proposal, transaction, submitted, status)}
            assert len(names) == 1
        (request,) = fake.proposals
        assert list(request.endorsing_organizations) == ["Org2MSP"]
        inner = proposal_pb2.Proposal.FromString(request.proposed_transaction.proposal_bytes)
        payload = proposal_pb2.ChaincodeProposalPayload.FromString(inner.payload)
        assert dict(payload.TransientMap) == {"secret": b"x"}
        spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input).chaincode_spec
        assert spec.chaincode_id.name == "basic"

    asyncio.run(play())


def test_every_stage_is_signed_elsewhere(fake: FakeGateway, endpoint: Endpoint) -> None:
    identity, sign = new_member()

    async def play() -> None:
        async with connect(endpoint, identity) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            with pytest.raises(ValueError, match="sign the digest elsewhere"):
                await contract.evaluate_transaction("read")
            unsigned = contract.new_proposal("write", ["a"])
            proposal = gateway.new_signed_proposal(unsigned.get_bytes(), await _sign(unsigned))
            assert proposal.transaction_id == unsigned.transaction_id
            assert await proposal.evaluate() == b"write|a"
            endorsed = await proposal.endorse()
            transaction = gateway.new_signed_transaction(endorsed.get_bytes(), await _sign(endorsed))
            submitted = await transaction.submit()
            commit = gateway.new_signed_commit(submitted.get_bytes(), await _sign(submitted))
            assert (await commit.get_status()).successful
            # The bytes of a signed message carry the signature with them.
            assert await gateway.new_proposal(proposal.get_bytes()).evaluate() == b"write|a"
            await gateway.new_transaction(transaction.get_bytes()).submit()
            assert (await gateway.new_commit(commit.get_bytes()).get_status()).successful
            request = gateway.get_network("chain").new_block_events_request(start_block=0, stop_block=0)
            signed = gateway.new_signed_block_events_request(request.get_bytes(), await _sign(request))
            assert [block.header.number async for block in signed.get_events()] == [0]
            wanted = gateway.get_network("chain").new_chaincode_events_request("basic", start_block=0)
            followed = gateway.new_signed_chaincode_events_request(wanted.get_bytes(), await _sign(wanted))
            async with followed.get_events() as events:
                assert (await anext(events)).transaction_id == "0-0"

    async def _sign(message: Any) -> bytes:
        assert len(message.get_digest()) == 32
        signature = sign(message.get_digest())
        assert isinstance(signature, bytes)
        return signature

    asyncio.run(play())


@pytest.mark.parametrize("kind", ["proposal", "transaction", "commit", "block_events_request"])
def test_foreign_bytes_are_refused(endpoint: Endpoint, member: Member, kind: str) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0]) as gateway:
            with pytest.raises(MalformedMessage):
                getattr(gateway, f"new_signed_{kind}")(b"\xff\xff", b"x")

    asyncio.run(play())


def test_a_changed_proposal_is_refused(endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            mine, other = contract.new_proposal("write", ["a"]), contract.new_proposal("write", ["b"])
            signature = member[1](mine.get_digest())
            assert isinstance(signature, bytes)
            with pytest.raises(EndorseError) as caught:
                await gateway.new_signed_proposal(other.get_bytes(), signature).endorse()
            (detail,) = caught.value.details
            assert (detail.msp_id, detail.address) == ("Org1MSP", "peer:7051")
            assert "access denied" in str(caught.value)
            assert caught.value.transaction_id == other.transaction_id

    asyncio.run(play())


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("Evaluate", EvaluateError),
        ("Endorse", EndorseError),
        ("Submit", SubmitError),
        ("CommitStatus", CommitStatusError),
    ],
)
def test_errors_name_their_stage(
    fake: FakeGateway, endpoint: Endpoint, member: Member, method: str, kind: type[EndorseError]
) -> None:
    details = tuple(ErrorDetail(f"peer{n}:7051", f"Org{n}MSP", "m" * 200 * n) for n in (1, 2))
    fake.faults[method].append(Fault(grpc.StatusCode.ABORTED, "no", details))

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            call = contract.evaluate_transaction if method == "Evaluate" else contract.submit_transaction
            with pytest.raises(kind) as caught:
                await call("write")
            error = caught.value
            assert type(error) is kind
            assert error.code == grpc.StatusCode.ABORTED
            assert error.details == details
            assert len(error.transaction_id) == 64
            assert isinstance(error.__cause__, grpc.RpcError)

    asyncio.run(play())


def test_chaincode_response_is_read_from_the_details(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    detail = ErrorDetail("peer:7051", "Org1MSP", "chaincode response 409, first\nsecond")
    fake.faults["Endorse"].append(Fault(grpc.StatusCode.ABORTED, "see details", (detail,)))

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            with pytest.raises(EndorseError) as caught:
                await gateway.get_network("chain").get_contract("basic").submit_transaction("write")
            response = caught.value.chaincode_response
            assert response is not None
            assert (response.status, response.message) == (409, "first\nsecond")

    asyncio.run(play())


def test_invalid_transaction_is_a_commit_error(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    fake.codes.append(CODE.MVCC_READ_CONFLICT)

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            with pytest.raises(CommitError, match="MVCC_READ_CONFLICT") as caught:
                await gateway.get_network("chain").get_contract("basic").submit_transaction("write")
            error = caught.value
            assert (error.status, error.block_number) == (CODE.MVCC_READ_CONFLICT, 1)
            assert error.is_conflict

    asyncio.run(play())


def test_timeouts(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        options = {"endorse": CallOptions(timeout=30.0)}
        async with connect(endpoint, member[0], sign=member[1], options=options) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            transaction = await contract.new_proposal("write").endorse()
            with pytest.raises(CommitStatusError) as caught:
                await transaction.submitted().get_status(CallOptions(timeout=0.1))
            assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
            assert caught.value.is_unreachable

    asyncio.run(play())


def test_calls_in_flight_are_bounded(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    gate = asyncio.Event()
    fake.faults["Endorse"].extend([lambda: _pause(0.02)] * 30)

    def _pause(seconds: float) -> None:
        import time

        time.sleep(seconds)

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1], in_flight=3) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            await asyncio.gather(*(contract.new_proposal("write").endorse() for _ in range(30)))
            gate.set()
        assert fake.most_at_once == 3

    asyncio.run(play())
    assert len(fake.proposals) == 30


def test_a_call_that_finds_no_place_in_time_fails(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1], in_flight=1) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            transaction = await contract.new_proposal("write").endorse()
            waiting = asyncio.create_task(transaction.submitted().get_status())
            await asyncio.sleep(0.05)
            with pytest.raises(EndorseError, match="too many calls under way"):
                await contract.new_proposal("write").endorse(CallOptions(timeout=0.1))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await contract.new_proposal("write").endorse(CallOptions(timeout=5))

    asyncio.run(play())


def test_a_busy_peer_is_asked_again(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    busy = Fault(
        grpc.StatusCode.UNKNOWN, "too many requests for /gateway.Gateway, exceeding concurrency limit (500)"
    )
    fake.faults["Endorse"].extend([busy, busy])
    fake.faults["Submit"].append(busy)

    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            await gateway.get_network("chain").get_contract("basic").submit_transaction("write")

    asyncio.run(play())
    assert fake.calls == ["Endorse"] * 3 + ["Submit"] * 2 + ["CommitStatus"]


def test_nobody_there(member: Member) -> None:
    async def play() -> None:
        async with connect(Endpoint("127.0.0.1:1"), member[0], sign=member[1]) as gateway:
            with pytest.raises(EvaluateError) as caught:
                await gateway.get_network("chain").get_contract("basic").evaluate_transaction("read")
            assert caught.value.code == grpc.StatusCode.UNAVAILABLE
            assert caught.value.is_unreachable

    asyncio.run(play())


def test_closing_ends_what_is_under_way(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        gateway = connect(endpoint, member[0], sign=member[1])
        contract = gateway.get_network("chain").get_contract("basic")
        transaction = await contract.new_proposal("write").endorse()
        waiting = asyncio.create_task(transaction.submitted().get_status())
        await asyncio.sleep(0.1)
        await gateway.close()
        with pytest.raises(GatewayClosed):
            await waiting
        with pytest.raises(GatewayClosed):
            await contract.evaluate_transaction("read")
        with pytest.raises(GatewayClosed):
            await anext(gateway.get_network("chain").get_block_events(start_block=0))
        await gateway.close()

    asyncio.run(play())


def test_a_remote_key_may_be_a_coroutine(endpoint: Endpoint, member: Member) -> None:
    async def sign(digest: bytes) -> bytes:
        await asyncio.sleep(0)
        signature = member[1](digest)
        assert isinstance(signature, bytes)
        return signature

    async def play() -> None:
        async with connect(endpoint, member[0], sign=sign, hash=sha256) as gateway:
            contract = gateway.get_network("chain").get_contract("basic")
            assert await contract.submit_transaction("write") == b"write"

    asyncio.run(play())


def test_foreign_channel_stays_open(endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        channel = endpoint.open()
        for _ in range(2):
            async with connect(channel, member[0], sign=member[1]) as gateway:
                contract = gateway.get_network("chain").get_contract("basic")
                assert await contract.evaluate_transaction("read") == b"read"
        await channel.close()

    asyncio.run(play())


def test_envelope_is_the_peer_s_payload_signed(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    async def play() -> None:
        async with connect(endpoint, member[0], sign=member[1]) as gateway:
            await gateway.get_network("chain").get_contract("basic").submit_transaction("write")

    asyncio.run(play())
    envelope = common_pb2.Envelope.FromString(fake.blocks[1].data.data[0])
    assert envelope.signature
    assert common_pb2.Payload.FromString(envelope.payload).header.channel_header
