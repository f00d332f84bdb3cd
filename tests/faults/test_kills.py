"""kill -9 at every border and at random times, over whole deployments (``make test-faults``).

In each scene a deployment works on real readings (and trains), processes die, are started again by the
product's own supervisor, and finish their work. Then nothing may be lost, nothing may be there twice, no
number may be missing, and the deployment must come to rest (``fleet_checks``).
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fleet_checks import check_everything
from fleet_tally import KINDS, Tally
from fleet_world import FleetWorld, small_plan

from edgeproof.deployment import Plan

pytestmark = pytest.mark.faults

_IDLE_S = 5.5  # relay and signers look at the chains every 50 ms: over 100 ticks


def finish(world: FleetWorld, work: Path, tally: Tally, scene: str, *, rounds: int = 0) -> None:
    """Let the world come to rest, end it, and check everything."""
    world.settle()
    world.check_idle(_IDLE_S)
    world.check_deaths()
    world.stop()
    found = check_everything(
        world.deployment, world.load.acknowledged, work, rounds=rounds, run="run" if rounds else ""
    )
    print(scene, found, f"{len(world.kills)} kills")
    assert found.records >= 20
    assert found.anchors >= 4
    tally.add(scene, world.kills)


def around(name: str, visits: tuple[int, ...] = (1, 2, 3)) -> list[str]:
    """Points before and after a border, at these visits."""
    return [f"{when}:{name}:{visit}" for visit in visits for when in ("before", "after")]


def test_gateway(tmp_path: Path, tally: Tally, chance: random.Random) -> None:
    points = around("store:put_pack") + around("records:submitBatch")
    chance.shuffle(points)
    # Every other time the whole gateway dies, not only the worker that does the work.
    owners = ("devices:enrol", "devices:setStatus", "devices:grant")
    points = [point for name in owners for point in (f"before:{name}", f"after:{name}")] + points
    armed = [f"all:{point}" if number % 2 else point for number, point in enumerate(points)]
    with FleetWorld(tmp_path, small_plan(1), devices=3, seed=tally.seed) as world:
        world.arm("gateway-edge-a", armed)
        world.start_services()
        world.load.change_devices()
        world.load.begin(0.1)
        world.wait_for_points(150)
        world.kill_at_random(chance, ["gateway-edge-a"], 6)
        finish(world, tmp_path / "work", tally, "gateway")


def test_relay_and_signers(tmp_path: Path, tally: Tally, chance: random.Random) -> None:
    plan = small_plan(2)
    points = around("interlock:cut") + around("interlock:accept")
    chance.shuffle(points)
    with FleetWorld(tmp_path, plan, devices=1, seed=tally.seed) as world:
        world.arm("relay", points)
        signers = [f"signer-{name}" for chain in plan.chains for name in chain.organisations]
        for number, signer in enumerate(signers):
            visits = number % 3 + 1, (number + 1) % 3 + 1
            armed = [f"before:interlock:sign:{visits[0]}", f"after:interlock:sign:{visits[1]}"]
            chance.shuffle(armed)
            world.arm(signer, armed)
        world.start_services()
        world.load.begin(1.0)
        world.wait_for_points(150)
        world.kill_at_random(chance, ["relay", *chance.sample(signers, 1)], 8)
        finish(world, tmp_path / "work", tally, "relay and signers")


def test_training(tmp_path: Path, tally: Tally, chance: random.Random) -> None:
    plan, rounds = small_plan(1), 14
    peers = [f"peer-{name}" for name in plan.edges[0].organisations]
    aggregators = [f"aggregator-{name}" for name in plan.main.organisations]
    # By turns: the first visits in every life, later ones where the run is long enough for both.
    armed = {
        peers[0]: [
            "before:store:put_tree",
            "after:steps:submit",
            "before:attestations:attest",
            "before:steps:submit",
            "after:attestations:attest:2",
            "after:store:put_tree:3",
        ],
        peers[1]: [
            "after:store:put_tree",
            "after:attestations:attest",
            "before:steps:submit",
            "after:steps:submit:2",
            "before:store:put",
            "before:store:put_tree:3",
        ],
        aggregators[0]: [
            "after:attestations:attest",
            "before:models:publish",
            "before:models:commit",
            "after:models:publish:2",
            "after:store:put_tree:3",
        ],
        aggregators[1]: [
            "before:runs:adopt",
            "after:runs:adopt",
            "after:models:commit",
            "before:attestations:attest",
            "after:models:publish",
            "before:store:put_tree:2",
        ],
    }
    with FleetWorld(tmp_path, plan, devices=1, seed=tally.seed) as world:
        for process, points in armed.items():
            world.arm(process, points)
        world.start_training("run", rounds)
        world.start_services()
        world.load.send(20)
        world.wait_for_points(300)
        world.kill_at_random(chance, [*peers, *aggregators], 4)
        finish(world, tmp_path / "work", tally, "training", rounds=rounds)


def test_everything_at_random(tmp_path: Path, tally: Tally, chance: random.Random) -> None:
    rounds = 6
    with FleetWorld(tmp_path, Plan.standard(1), devices=2, seed=tally.seed) as world:
        world.start_training("run", rounds)
        world.start_services()
        world.load.send(10)
        world.load.begin(3.0)
        processes = [name for kind in KINDS for name in world.names(kind)]
        world.kill_at_random(chance, processes, len(processes))
        finish(world, tmp_path / "work", tally, "everything at random", rounds=rounds)


def test_the_kills_suffice(tally: Tally, request: pytest.FixtureRequest) -> None:
    """The complete set as a whole; ``-k`` and the like leave this out."""
    scenes = {item.name for item in request.session.items if item.path == request.path} - {request.node.name}
    if len(tally.scenes) < 4 and len(scenes) < 4:
        pytest.skip("only after the complete set")
    assert tally.scenes >= {"gateway", "relay and signers", "training", "everything at random"}
    assert len(tally.kills) >= 50
    counts = tally.by_process()
    assert all(counts[kind]["kills"] >= 10 for kind in KINDS), counts
    assert tally.unfinished >= 0.8 * len(tally.kills), tally.line()
