"""One small world for the whole room, on either ledger: chains are only read after they were made."""

from contextlib import ExitStack

import pytest
from audit_commands import Commands
from audited import FakeReplayer, audited, make_stores
from world import World, build_world
from world_training import Training, start_training

from protocol.bundle import serialise_bundle
from protocol.trust import TrustRoot, serialise_trust


# Fabric first: pytest ends one before it makes the next, and the last one only when the whole run is over.
@pytest.fixture(scope="session", params=[pytest.param("fabric", marks=pytest.mark.fabric), "embedded"])
def world(request, tmp_path_factory) -> World:
    """Three chains, four readings on each edge, a run of three rounds with second attempts in round 2."""
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        options = {}
        if request.param == "fabric":
            from fabric_chains import fabric_chains

            options["make"] = stack.enter_context(fabric_chains(folder))
        made = build_world(folder, **options)
        stack.callback(made.close)
        training = start_training(made)
        training.play()
        training.play(attempts=2)
        training.play()
        made.training = training
        yield made


@pytest.fixture(scope="session")
def training(world) -> Training:
    return world.training


@pytest.fixture(scope="session")
def trust(world) -> TrustRoot:
    return world.trust()


@pytest.fixture(scope="module")
def files(world, trust, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "trust.json").write_bytes(serialise_trust(trust))
    record = world.records["edge-a"][1]
    (folder / "record.json").write_bytes(serialise_bundle(world.prover.record_bundle("edge-a", record)))
    (folder / "model.json").write_bytes(serialise_bundle(world.prover.model_bundle("digits", 3)))
    return folder


@pytest.fixture(scope="module")
def system(world, tmp_path_factory):
    return audited(world, make_stores(world, tmp_path_factory.mktemp("stores")), FakeReplayer())


@pytest.fixture
def commands(system):
    return Commands(system)
