"""The sync face: the same words between threads, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_gateway import FakeGateway

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
