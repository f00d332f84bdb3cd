"""A gateway is two processes, gunicorn's master and its worker: either may be killed, none stays behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_processes import children, wait_until
from fleet_world import FleetWorld, small_plan

pytestmark = pytest.mark.faults

GATEWAY = "gateway-edge-a"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FleetWorld]:
    with FleetWorld(tmp_path, small_plan(1), devices=1) as world:
        world.start_only(GATEWAY)
        world.load.enrol()
        world.load.send(2)
        yield world


def master(world: FleetWorld) -> int:
    pid = world.pid(GATEWAY)
    assert pid is not None
    return pid


@pytest.mark.parametrize("what", ["worker", "process", "group"])
def test_a_gateway_comes_back_on_its_port(world: FleetWorld, what: str) -> None:
    before = master(world), children(master(world))
    assert len(before[1]) == 1
    assert world.kill(GATEWAY, what) is not None
    world.load.send(3)  # over the same port, by clients that know of nothing
    # A worker whose master is gone may have answered that: it ends by itself, and leaves the port.
    wait_until(lambda: len(children(world.pid(GATEWAY) or 0)) == 1, 15.0, world.logs)
    wait_until(lambda: world.is_up(GATEWAY), 15.0, world.logs)
    world.load.send(1)
    after = master(world), children(master(world))
    assert (after[0] == before[0]) == (what == "worker")
    assert not set(after[1]) & set(before[1])
    world.check_no_orphans()
    world.check_deaths()
    assert len(world.load.acknowledged) == 6
    world.stop()


def test_a_worker_without_its_master_leaves_the_port_though_clients_keep_sending(world: FleetWorld) -> None:
    world.load.begin(0.0)
    wait_until(lambda: len(world.load.acknowledged) > 10, 20.0)
    before = master(world)
    assert world.kill(GATEWAY, "process") is not None
    wait_until(lambda: world.pid(GATEWAY) not in (None, before) and bool(children(master(world))), 10.0)
    count = len(world.load.acknowledged)
    wait_until(lambda: len(world.load.acknowledged) > count + 10, 20.0, world.logs)
    world.load.finish(20.0)
    # The next master found the port free, at the latest at its last attempt: none gave up.
    world.check_deaths()
    world.stop()


def test_stopping_under_load_leaves_no_process_and_no_port(world: FleetWorld) -> None:
    world.load.begin(0.0)
    wait_until(lambda: len(world.load.acknowledged) > 10, 20.0)
    pids = [master(world), *children(master(world))]
    world.load.stop()
    world.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        probe.bind(("127.0.0.1", world.ports["edge-a"]))
