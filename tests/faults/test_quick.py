"""A handful of kills in one small deployment, for every run of the suite; the rest is in ``test_kills``."""

from __future__ import annotations

from pathlib import Path

from fleet_checks import check_everything
from fleet_tally import KINDS, Tally
from fleet_world import FleetWorld, small_plan


def test_one_kill_of_every_kind(tmp_path: Path, tally: Tally) -> None:
    with FleetWorld(tmp_path, small_plan(1), seed=tally.seed) as world:
        world.arm("gateway-edge-a", ["after:records:submitBatch", "all:before:store:put_pack"])
        world.arm("relay", ["before:interlock:accept", "after:interlock:accept"])
        world.arm("signer-edge-a-owner", ["after:interlock:sign"])
        world.arm("peer-edge-a-owner", ["after:attestations:attest"])
        world.arm("aggregator-cloud-auditor", ["after:models:commit"])
        world.start_training("run", 1)
        world.start_services()
        world.load.send(5)
        world.wait_for_points(60)
        world.settle()
        world.check_idle(3.0)
        world.check_deaths()
        world.stop()
        found = check_everything(
            world.deployment, world.load.acknowledged, tmp_path / "work", rounds=1, run="run"
        )
    assert found.records == 10
    assert found.bundles == 11
    assert {kill.kind for kill in world.kills} == set(KINDS)
    assert sum(bool(kill.unfinished) for kill in world.kills) >= 0.8 * len(world.kills)
    tally.add("quick", world.kills)
