"""SIGKILL of every kind of process of a real network (the default topology) while readings and anchors flow.

What must hold: no acknowledged reading is lost or recorded twice, elements and anchors are numbered without a
gap, and everything goes on without anybody's help. The pauses are printed and kept below build/faults.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from fabric_kills import (
    CloudLoad,
    Pause,
    kill_node,
    leader_and_followers,
    longest_pause,
    under,
    wait_running,
)
from fabric_network import fabric_bin, on_free_ports
from fleet_checks import check_everything
from fleet_tally import Tally
from fleet_world import FleetWorld

from edgeproof.ready import probe
from edgeproof.setup import adopt_network
from edgeproof.wiring import Parts
from network import Topology, down, named_topology, up
from protocol.elements import views

_CALM_S = 8.0
_AFTER_S = 20.0


@pytest.mark.fabric
@pytest.mark.faults
def test_every_kind_of_process_is_killed_under_load(
    tmp_path: Path, tally: Tally, pytestconfig: pytest.Config
) -> None:
    root = tmp_path / "network"
    topology = on_free_ports(Topology.load(named_topology("default")))
    pauses: list[Pause] = []
    try:
        network = up(root, topology, probe, fabric_bin=fabric_bin())
        deployment = adopt_network(root)
        with FleetWorld(tmp_path, deployment, seed=tally.seed) as world, Parts(deployment, "cloud") as parts:
            world.start_services()
            cloud = CloudLoad(parts)
            with under(cloud):
                world.load.begin(0.05)

                def readings() -> list[float]:
                    return [one.at for one in world.load.acknowledged if one.edge == "edge-a"]

                def calm(times: list[float]) -> float:
                    now = time.monotonic()
                    return longest_pause(times, now - _CALM_S, now)

                for fault in ("follower", "leader", "peer", "chaincode", "relay"):
                    time.sleep(_CALM_S)
                    if fault in ("follower", "leader"):
                        leader, followers = leader_and_followers(network, "main")
                        name = leader if fault == "leader" else followers[0]
                        times, waited = (lambda: list(cloud.times)), "transactions on main"
                    elif fault == "relay":
                        name, waited = "relay", "anchors on main"
                        times = lambda: _anchor_times(parts, deployment.plan.main.chain)  # noqa: E731
                    else:
                        name = f"edge-a.{fault}.edge-a-operator"
                        times, waited = readings, "readings on edge-a"
                    usual = calm(times())
                    struck = time.monotonic()
                    if fault == "relay":
                        kill = world.kill("relay")
                        assert kill is not None
                    else:
                        wait_running(deployment, name, kill_node(deployment, name))
                    time.sleep(_AFTER_S)
                    pause = longest_pause(times(), struck, struck + _AFTER_S)
                    pauses.append(Pause(fault, name, waited, pause, usual))
                    print(pauses[-1])
                    assert any(at > struck for at in times()), f"nothing goes on after {name}"
            world.settle(180.0)
            world.stop()
        acknowledged = world.load.acknowledged
        assert len(acknowledged) > 200
        check_everything(deployment, acknowledged, tmp_path / "work")
        with Parts(deployment, "afterwards") as parts:
            _check_cloud(parts, cloud)
    finally:
        down(root)
    folder = pytestconfig.rootpath / "build" / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    found = {"acknowledged": len(acknowledged), "pauses": [pause.row() for pause in pauses]}
    (folder / "fabric.json").write_text(json.dumps(found, indent=1) + "\n")


def _anchor_times(parts: Parts, main: str) -> list[float]:
    """When main accepted anchors, on ``time.monotonic``, by the transactions' claimed times."""
    shift = time.monotonic() - time.time()
    return [
        view.timestamp_ms / 1000 + shift
        for block in parts.readers[main].blocks(0)
        for view in views(block)
        if view.code == 0 and view.function == "interlock:accept"
    ]


def _check_cloud(parts: Parts, cloud: CloudLoad) -> None:
    """Every receipt is a valid transaction, once."""
    main = parts.readers[parts.deployment.plan.main.chain]
    valid = [view.transaction for block in main.blocks(0) for view in views(block) if view.code == 0]
    assert len(valid) == len(set(valid))
    assert len(cloud.receipts) == len(set(cloud.receipts)) > 50
    assert set(cloud.receipts) <= set(valid)
    # Whoever was told nothing, or that it failed, can look it up.
    for error in cloud.errors:
        if error.transaction:
            main.find(error.transaction)
