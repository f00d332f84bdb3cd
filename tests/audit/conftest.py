"""One small world for the whole room: chains are only read after they were made."""

import pytest
from world import World, build_world
from world_training import Training, start_training

from protocol.trust import TrustRoot


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """Three chains, four readings on each edge, a run of three rounds with second attempts in round 2."""
    made = build_world(tmp_path_factory.mktemp("world"))
    training = start_training(made)
    training.play()
    training.play(attempts=2)
    training.play()
    made.training = training
    yield made
    made.close()


@pytest.fixture(scope="session")
def training(world) -> Training:
    return world.training


@pytest.fixture(scope="session")
def trust(world) -> TrustRoot:
    return world.trust()
