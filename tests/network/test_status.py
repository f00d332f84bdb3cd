from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from network import down
from network.child import ProcessSpec
from network.control import Keeper
from network.errors import NetworkError
from network.records import Records, register
from network.status import ProcessStatus, status
from network.topology_file import load_topology, named_topology

SLEEPER = [sys.executable, "-c", "import time; time.sleep(120)"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    shutil.copy(named_topology("dev"), tmp_path / "topology.yaml")
    yield tmp_path
    down(tmp_path)


def by_name(root: Path) -> dict[str, ProcessStatus]:
    return {process.name: process for process in status(root)}


def test_a_network_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="holds no network"):
        status(tmp_path)


def test_every_process_of_the_topology_is_there_whether_it_runs_or_not(root: Path) -> None:
    nodes = load_topology(root / "topology.yaml").nodes
    names = [node.name for node in nodes]
    assert [process.name for process in status(root)] == names
    assert {process.state for process in status(root)} == {"down"}
    keeper = Keeper.ensure(root)
    keeper.keep([ProcessSpec(name, SLEEPER) for name in names[1:]])
    found = by_name(root)
    assert list(found) == [*names, "keeper.local"]
    assert found[names[0]].state == "down"
    peer = found["edge-a.peer.edge-a-owner"]
    assert (peer.state, peer.kind, peer.chain, peer.msp_id) == ("running", "peer", "edge-a", "edge-a-owner")
    assert peer.address == next(node.endpoint for node in nodes if node.name == peer.name)
    assert 1_000_000 < peer.memory_bytes < 100_000_000
    assert 0 <= peer.uptime_s < 30
    assert found["keeper.local"].kind == "keeper"


def test_records_that_nobody_can_read_are_no_processes(root: Path) -> None:
    names = [process.name for process in status(root)]
    (root / "run").mkdir(exist_ok=True)
    (root / "run" / "deep.json").write_text("[" * 100_000)
    assert [process.name for process in status(root)] == names


def test_how_a_process_is_doing(root: Path) -> None:
    keeper = Keeper.ensure(root)
    stopped, broken, killed = [node.name for node in load_topology(root / "topology.yaml").nodes][:3]
    keeper.keep(
        [
            ProcessSpec(stopped, SLEEPER),
            ProcessSpec(broken, [sys.executable, "-c", "raise SystemExit(3)"]),
            ProcessSpec(killed, SLEEPER),
            ProcessSpec("edge-a.chaincode.edge-a-owner.2", SLEEPER),
        ]
    )
    keeper.stop([stopped])
    pid = by_name(root)[killed].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while by_name(root)[broken].deaths < 4 or by_name(root)[killed].state != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = by_name(root)
    assert found[stopped].state == "stopped"
    assert found[broken].last_end == "exit 3"
    assert not found[broken].healthy
    assert (found[killed].deaths, found[killed].last_end) == (1, "SIGKILL")
    # What runs but is not in the topology (the chaincode that an upgrade replaces) is shown too.
    extra = found["edge-a.chaincode.edge-a-owner.2"]
    assert (extra.kind, extra.chain, extra.state) == ("chaincode", "edge-a", "running")
    with register(root / "run", "services"):
        assert by_name(root)["services"].kind == "supervisor"
    assert "services" not in by_name(root)


def test_what_a_killed_keeper_left_is_unattended(root: Path) -> None:
    name = "edge-a.peer.edge-a-owner"
    Keeper.ensure(root).keep([ProcessSpec(name, SLEEPER)])
    (record,) = Records(root / "run").living("keeper")
    assert record.process.end(5.0, signal.SIGKILL)
    found = by_name(root)
    assert found[name].state == "unattended"
    assert not found[name].healthy
    assert "keeper.local" not in found
    Keeper.ensure(root)
    assert by_name(root)[name].state == "running"
