"""The sync face: the same words between threads, and after a fork."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_gateway import FakeGateway

from ledger import fabric
from ledger.fabric import Endpoint, GatewayClosed, Identity, Sign, sync
from ledger.fabric.loops import loop_thread

Member = tuple[Identity, Sign]


def test_every_stage(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    with sync.connect(endpoint, member[0], sign=member[1]) as gateway:
        network = gateway.get_network("chain")
        contract = network.get_contract("basic")
        assert contract.evaluate_transaction("read", "a") == b"read|a"
        assert contract.submit_transaction("write", "a") == b"write|a"
        submitted = contract.submit_async("write", ["b"], transient={"s": b"1"})
        assert submitted.get_status().successful
        assert submitted.get_result() == b"write|b"
        transaction = contract.new_proposal("write", ["c"]).endorse()
        assert transaction.get_endorsers() == ()
        assert transaction.submit().get_status().block_number == 3
        assert contract.submit_until_committed("write", ["d"]).block_number == 4
        with network.get_block_events(start_block=2) as events:
            assert [next(events).header.number for _ in range(3)] == [2, 3, 4]
        with network.get_filtered_block_events(start_block=4, stop_block=4) as events:
            assert [block.number for block in events] == [4]
        with network.get_chaincode_events("basic", start_block=1) as events:
            assert next(events).transaction_id == "1-0"
    with pytest.raises(GatewayClosed):
        contract.evaluate_transaction("read")


def _public(kind: type) -> set[str]:
    # What a gateway and a network make their objects by: callers have the ``new_...`` words for it.
    return {name for name in dir(kind) if not name.startswith("_")} - {"from_bytes", "message"}


def _face(kind: type) -> dict[str, type]:
    """Core classes that a class of the sync face stands for."""
    if kind is sync.EventsRequest:
        return {each.__name__: each for each in (fabric.ChaincodeEventsRequest, fabric.BlockEventsRequest)}
    return {kind.__name__: getattr(fabric, kind.__name__)}


_FACES = [
    (kind, core)
    for name in sync.__all__
    if isinstance(kind := getattr(sync, name), type)
    for core in _face(kind).values()
]


@pytest.mark.parametrize(("kind", "core"), _FACES)
def test_the_sync_face_has_every_word_of_the_core(kind: type, core: type) -> None:
    assert _public(core) - _public(kind) == set()
    for name in _public(core) & _public(kind):
        ours, theirs = vars(kind).get(name), getattr(core, name)
        if not inspect.isfunction(ours):
            continue
        mine = inspect.signature(ours).parameters.values()
        wanted = list(inspect.signature(theirs).parameters)
        plain = [each.name for each in mine if each.kind is not each.VAR_KEYWORD]
        assert plain == wanted[: len(plain)], name
        assert len(plain) == len(wanted) or any(each.kind is each.VAR_KEYWORD for each in mine), name


def test_every_core_class_that_does_something_has_its_sync_face() -> None:
    async_kinds = {
        kind
        for name in fabric.__all__
        if inspect.isclass(kind := getattr(fabric, name))
        and any(inspect.iscoroutinefunction(method) for method in vars(kind).values())
    }
    assert async_kinds <= {core for _, core in _FACES}
    assert {fabric.Gateway, fabric.Contract, fabric.Proposal} <= async_kinds


def test_what_the_core_s_objects_hold_the_sync_face_s_hold_too(
    fake: FakeGateway, endpoint: Endpoint, member: Member
) -> None:
    with sync.connect(endpoint, member[0], sign=member[1]) as gateway:
        network = gateway.get_network("chain")
        contract = network.get_contract("basic", "named")
        proposal = contract.new_proposal("write", ["a"])
        transaction = proposal.endorse()
        submitted = transaction.submit()
        for face in (network, contract, proposal, transaction, submitted):
            held = {name: value for name, value in vars(face._inner).items() if not name.startswith("_")}
            assert held
            assert {name: getattr(face, name) for name in held} == held


def test_every_message_can_be_signed_elsewhere(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    identity, sign = member
    with sync.connect(endpoint, identity) as gateway:
        network = gateway.get_network("chain")
        unsigned = network.get_contract("basic").new_proposal("write", ["a"])
        reread = gateway.new_proposal(unsigned.get_bytes())
        assert reread.transaction_id == unsigned.transaction_id
        proposal = gateway.new_signed_proposal(reread.get_bytes(), sign(reread.get_digest()))
        endorsed = gateway.new_transaction(proposal.endorse().get_bytes())
        transaction = gateway.new_signed_transaction(endorsed.get_bytes(), sign(endorsed.get_digest()))
        transaction.submit()
        commit = gateway.new_commit(transaction.submitted().get_bytes())
        signed = gateway.new_signed_commit(commit.get_bytes(), sign(commit.get_digest()))
        assert signed.get_status().successful
        asked = network.new_block_events_request(start_block=0, stop_block=1)
        request = gateway.new_signed_block_events_request(asked.get_bytes(), sign(asked.get_digest()))
        with request.get_events() as blocks:
            assert [block.header.number for block in blocks] == [0, 1]
        asked = network.new_block_events_request(start_block=1, stop_block=1, kind="filtered_block")
        request = gateway.new_signed_filtered_block_events_request(
            asked.get_bytes(), sign(asked.get_digest())
        )
        with request.get_events() as blocks:
            assert [block.number for block in blocks] == [1]
        asked = network.new_block_events_request(start_block=1, stop_block=1, kind="block_and_private_data")
        request = gateway.new_signed_block_and_private_data_events_request(
            asked.get_bytes(), sign(asked.get_digest())
        )
        with request.get_events() as blocks:
            assert [found.block.header.number for found in blocks] == [1]
        wanted = network.new_chaincode_events_request("basic", start_block=1)
        events = gateway.new_signed_chaincode_events_request(wanted.get_bytes(), sign(wanted.get_digest()))
        with events.get_events() as found:
            assert next(found).transaction_id == "1-0"


def test_threads_share_one_gateway(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    with sync.connect(endpoint, member[0], sign=member[1]) as gateway:
        contract = gateway.get_network("chain").get_contract("basic")
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: contract.submit_transaction("write", str(n)), range(64)))
    assert answers == [b"write|%d" % n for n in range(64)]
    assert len(fake.blocks) == 65


def test_gateways_share_one_thread(fake: FakeGateway, endpoint: Endpoint, member: Member) -> None:
    gateways = [sync.connect(endpoint, member[0], sign=member[1]) for _ in range(3)]
    assert [entry.name for entry in threading.enumerate()].count("fabric-gateway") == 1
    for gateway in gateways:
        contract = gateway.get_network("chain").get_contract("basic")
        assert contract.evaluate_transaction("read") == b"read"
        gateway.close()


def test_waiting_on_the_loop_itself_is_refused() -> None:
    async def nothing() -> None:
        pass

    async def wait() -> None:
        loop_thread().run(nothing())

    with pytest.raises(RuntimeError, match="own event loop"):
        loop_thread().run(wait())


def test_a_child_has_a_loop_of_its_own() -> None:
    """Before gRPC is used, as in a server that forks its workers."""

    async def answer() -> int:
        return 7

    assert loop_thread().run(answer()) == 7
    child = os.fork()
    if child == 0:
        try:
            os._exit(loop_thread().run(answer()))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


_LEFT_OPEN = """
import sys, threading
sys.path[:0] = sys.argv[2:]
from fake_gateway import new_member
from ledger import fabric
from ledger.fabric import Endpoint, sync
identity, sign = new_member()
gateway = sync.connect(Endpoint(sys.argv[1]), identity, sign=sign)
network = gateway.get_network("chain")
events = network.get_block_events(start_block=0)
assert next(events).header.number == 0
waiting = threading.Thread(target=lambda: next(events), daemon=True)
waiting.start()
assert network.get_contract("basic").submit_transaction("write") == b"write"
print("done")
"""


def test_a_program_may_end_with_all_open(endpoint: Endpoint) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LEFT_OPEN, endpoint.address, *sys.path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "Traceback" not in done.stderr
