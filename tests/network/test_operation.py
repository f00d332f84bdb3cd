"""A network of its own, operated as an operator does: killed, paused, kept, lost, restored.

The session's shared network must not be treated like this.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fabric_network import fabric_bin, on_free_ports

from edgeproof.deployment import Deployment
from edgeproof.ready import probe
from edgeproof.setup import adopt_network
from edgeproof.wiring import Parts
from identity import Role
from network import Topology, down, up
from network.control import Keeper
from network.records import Records
from network.rendering import services
from network.snapshots import restore, snapshot
from network.status import status
from network.topology_file import load_topology, named_topology

pytestmark = [pytest.mark.fabric(own_network=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("operated") / "network"
    try:
        start(folder, on_free_ports(load_topology(named_topology("dev"))))
        adopt_network(folder)
        yield folder
    finally:
        down(folder)


def start(root: Path, topology: Topology | None = None) -> None:
    up(root, topology or load_topology(root / "topology.yaml"), probe, fabric_bin=fabric_bin())


def blocks(root: Path) -> dict[str, list[str]]:
    """The header of every block that each organisation's peer has; it binds the block before and the data."""
    found = {}
    deployment = Deployment(root)
    with Parts(deployment, "test") as parts:
        for chain, msp_id in deployment.organisations():
            ledger = parts.ledger(chain.chain, msp_id, Role.AUDITOR)
            height = ledger.information().height
            found[f"{chain.chain} {msp_id}"] = [
                ledger.block(number).header.SerializeToString().hex() for number in range(height)
            ]
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def all_run(root: Path) -> bool:
    return all(process.healthy for process in status(root))


def test_killed_processes_come_back_and_the_chains_go_on(root: Path) -> None:
    before = {process.name: process.pid for process in status(root)}
    for kind in ("orderer", "peer", "chaincode"):
        victim = next(process for process in status(root) if process.kind == kind)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
    wait_for(lambda: all_run(root))
    changed = [process.name for process in status(root) if process.pid != before[process.name]]
    assert sorted(name.split(".")[1] for name in changed) == ["chaincode", "orderer", "peer"]
    start(root)


def test_a_killed_keeper_stops_no_chain_and_up_adopts_what_it_left(root: Path) -> None:
    (keeper,) = Records(root / "run").living("keeper")
    assert keeper.process.end(5.0, signal.SIGKILL)
    nodes = {record.name: record.process for record in Records(root / "run").living("node")}
    assert {process.state for process in status(root)} == {"unattended"}
    start(root)
    assert all_run(root)
    assert {record.name: record.process for record in Records(root / "run").living("node")} == nodes


def test_down_is_quick_leaves_nothing_and_up_goes_on_where_it_was(root: Path) -> None:
    before = blocks(root)
    processes = [record.process for record in Records(root / "run").living()]
    started = time.monotonic()
    assert down(root) == len(processes)
    assert time.monotonic() - started < 5.0
    assert not any(process.alive for process in processes)
    start(root)
    after = blocks(root)
    for name, hashes in before.items():
        assert after[name][: len(hashes)] == hashes


def test_a_snapshot_brings_a_lost_network_back_elsewhere(root: Path, tmp_path: Path) -> None:
    snapshot(root, tmp_path / "kept", pause=True)
    start(root)  # paused processes are back; peers may still be connecting
    before = blocks(root)
    down(root)
    kept = root.rename(root.with_name("lost"))
    second = tmp_path / "elsewhere" / "network"
    try:
        assert restore(tmp_path / "kept", second)["kind"] == "snapshot"
        keys = list(second.rglob("key.pem"))
        assert keys
        assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
        start(second)
        restored = blocks(second)
        # Block 0 to the last one of the snapshot, at every organisation, and the probe's own on top.
        for name, hashes in restored.items():
            common = min(len(hashes), len(before[name])) - 3
            assert common >= 3
            assert hashes[:common] == before[name][:common]
        heights = {name: len(hashes) for name, hashes in restored.items()}
        start(second)
        assert all(len(hashes) > heights[name] for name, hashes in blocks(second).items())
    finally:
        down(second)
        shutil.rmtree(second, ignore_errors=True)
        kept.rename(root)
        start(root)


def test_a_sandboxed_process_sees_every_file_that_it_is_told_of(root: Path) -> None:
    for service in services(root, fabric_bin=fabric_bin()):
        words = [*service.spec.command, *service.spec.environment.values()]
        for name in ("core.yaml", "orderer.yaml"):
            if (service.readable[0] / name).exists():
                words += re.findall(r"(?:: |- )'?(/[^'\n]*)", (service.readable[0] / name).read_text())
        paths = [Path(word) for word in words if word.startswith(f"{root}/")]
        assert len(paths) >= 3
        for path in paths:
            assert any(path.is_relative_to(seen) for seen in service.readable), path
            assert path.exists() or any(path.is_relative_to(place) for place in service.writable), path


def test_single_processes_stop_and_start(root: Path) -> None:
    name = "edge-a.chaincode.edge-a-owner"
    keeper = Keeper(root)
    keeper.stop([name])
    assert {process.name: process.state for process in status(root)}[name] == "stopped"
    keeper.start([name])
    keeper.restart(["main.orderer.main-orderer.1"])
    assert all_run(root)
    start(root)
