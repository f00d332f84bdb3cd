"""A handful of kills in one small deployment, for every run of the suite; the rest is in ``test_kills``."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest
from fleet_checks import check_everything
from fleet_tally import KINDS, Tally
from fleet_world import FleetWorld, small_plan

from store import NotFound


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
    acknowledged = world.load.acknowledged
    found = check_everything(world.deployment, acknowledged, tmp_path / "work", rounds=1, run="run")
    assert found.records == 10
    assert found.bundles == 11
    assert {kill.kind for kill in world.kills} == set(KINDS)
    assert sum(bool(kill.unfinished) for kill in world.kills) >= 0.8 * len(world.kills)
    tally.add("quick", world.kills)
    the_checks_see_what_is_wrong(world, tmp_path)


def the_checks_see_what_is_wrong(world: FleetWorld, folder: Path) -> None:
    """The checks of the whole set are worth something: each fault is seen."""
    acknowledged, root = world.load.acknowledged, world.deployment.root
    # An acknowledged reading that is not recorded.
    last = acknowledged[-1]
    other = dataclasses.replace(last.recorded, record=bytes(32))
    reading = dataclasses.replace(last.prepared.reading, nonce="another")
    lost = dataclasses.replace(
        last, prepared=dataclasses.replace(last.prepared, reading=reading), recorded=other
    )
    with pytest.raises(AssertionError):
        check_everything(world.deployment, [*acknowledged, lost], folder / "one")
    # A record that nobody was told of: recorded twice, as far as its device can tell.
    with pytest.raises(AssertionError):
        check_everything(world.deployment, acknowledged[:-1], folder / "two")
    # An element that a killed relay kept otherwise than the chain has it.
    with sqlite3.connect(root / "state" / "relay" / "edge-a.sqlite") as cache:
        cache.execute("UPDATE element SET code = 1 WHERE number = 5")
    with pytest.raises(AssertionError, match="relay"):
        check_everything(world.deployment, acknowledged, folder / "three")
    # Bytes that the store has lost.
    for pack in (root / "stores" / "edge-a" / "packs").rglob("*.pack"):
        pack.unlink()
    with pytest.raises(NotFound):
        check_everything(world.deployment, acknowledged, folder / "four")
