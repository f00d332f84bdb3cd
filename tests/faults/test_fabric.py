"""SIGKILL of every kind of process of a real network (the default topology) while readings and anchors flow.

What must hold: no acknowledged reading is lost or recorded twice, elements and anchors are numbered without a
gap, all peers hold the same chain, and everything goes on without anybody's help. The pauses are printed and
kept below build/faults.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fabric_kills import (
    CloudLoad,
    Pause,
    anchor_times,
    keep_pauses,
    kill_node,
    leader_and_followers,
    longest_pause,
    under,
    wait_running,
)
from fabric_network import fabric_bin, on_free_ports
from fleet_checks import check_everything
from fleet_processes import wait_until
from fleet_tally import Tally
from fleet_world import FleetWorld

from edgeproof.ready import probe
from edgeproof.setup import adopt_network
from edgeproof.wiring import Parts
from identity import Role
from ledger.errors import InvalidTransaction, UnknownOutcome
from network import down, up
from network.topology_file import load_topology, named_topology
from protocol.blocks import validation_codes
from protocol.elements import views

_CALM_S = 8.0
_AFTER_S = 20.0
_LONGEST_PAUSE_S = 60.0


@pytest.mark.fabric
@pytest.mark.faults
def test_every_kind_of_process_is_killed_under_load(
    tmp_path: Path, tally: Tally, pytestconfig: pytest.Config
) -> None:
    root = tmp_path / "network"
    topology = on_free_ports(load_topology(named_topology("default")))
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

                for fault in ("follower", "leader", "peer", "endorser", "chaincode", "relay"):
                    time.sleep(_CALM_S)
                    if fault in ("follower", "leader"):
                        leader, followers = leader_and_followers(network, "main")
                        name = leader if fault == "leader" else followers[0]
                        times, waited = (lambda: list(cloud.times)), "transactions on main"
                    elif fault == "relay":
                        name, waited = "relay", "anchors on main"
                        times = lambda: anchor_times(parts.readers["main"])  # noqa: E731
                    else:
                        # The gateway's own peer; and the other that endorses, as the gateway remembers.
                        name = f"edge-a.{fault}.edge-a-operator"
                        if fault == "endorser":
                            name = "edge-a.peer.edge-a-owner"
                        times, waited = readings, "readings on edge-a"
                    usual = calm(times())
                    struck = time.monotonic()
                    if fault == "relay":
                        kill = world.kill("relay")
                        assert kill is not None
                    else:
                        wait_running(deployment, name, kill_node(deployment, name))
                    time.sleep(_AFTER_S)
                    # Not only what was under way when it was struck: it goes on for good.
                    late = struck + _AFTER_S - _CALM_S
                    wait_until(
                        lambda late=late, times=times: any(at > late for at in times()),
                        _LONGEST_PAUSE_S,
                        f"nothing goes on: {name}",
                        pause_s=1.0,
                    )
                    pause = longest_pause(times(), struck, time.monotonic())
                    pauses.append(Pause(fault, name, waited, pause, usual))
                    print(pauses[-1])
            world.settle(180.0)
            world.stop()
        acknowledged = world.load.acknowledged
        assert len(acknowledged) > 200
        check_everything(deployment, acknowledged, tmp_path / "work")
        with Parts(deployment, "afterwards") as parts:
            _check_cloud(parts, cloud)
            _check_peers(parts)
    finally:
        down(root)
    keep_pauses(pytestconfig.rootpath, "kills", {"acknowledged": len(acknowledged)}, pauses)


def _check_cloud(parts: Parts, cloud: CloudLoad) -> None:
    """Every receipt is a valid transaction, once; what was said to have failed is none."""
    main = parts.readers[parts.deployment.plan.main.chain]
    seen = [view for block in main.blocks(0) for view in views(block) if view.transaction]
    valid = {view.transaction for view in seen if view.code == 0}
    assert len(valid) == sum(view.code == 0 for view in seen)
    assert len(cloud.receipts) == len(set(cloud.receipts)) > 50
    assert set(cloud.receipts) <= valid
    invalid = {view.transaction: view.code for view in seen if view.transaction not in valid}
    for error in cloud.errors:
        found = main.find(error.transaction) if error.transaction else None
        if isinstance(error, InvalidTransaction):
            assert found is not None
            assert found.code == error.code == invalid[error.transaction]
        elif isinstance(error, UnknownOutcome):  # now it is known, and as the chain's blocks say
            assert (found is not None and found.code == 0) == (error.transaction in valid)
        else:
            assert found is None, f"{error.transaction} is recorded, and was said not to be: {error}"


def _check_peers(parts: Parts) -> None:
    """Every organisation's peer, killed or not, has come to the same blocks and the same codes."""
    for chain, msp_id in parts.deployment.organisations():
        reader = parts.readers[chain.chain]
        height = reader.information().height
        own = parts.ledger(chain.chain, msp_id, Role.CLIENT)
        assert own.wait(height - 1, 30.0), f"{msp_id}'s peer is behind"
        for mine, theirs in zip(own.blocks(0), reader.blocks(0), strict=True):
            assert mine.header == theirs.header
            assert validation_codes(mine) == validation_codes(theirs)
