from __future__ import annotations

from dataclasses import replace

import pytest
from contract_chains import carry, proof_of
from contract_people import Interlocked
from contract_training import RECIPE, aggregator, example_run, start_training
from world_state import caller

from chaincode.api import AdoptRun, CreateRun, EdgeRoster, GetRun, Run
from chaincode.errors import (
    AccessDenied,
    AlreadyExists,
    BadCrossChainProof,
    Conflict,
    ContractError,
    DeadlinePassed,
    InvalidArgument,
    NotFound,
    UnknownSource,
)
from identity import Role

RUN = example_run()


@pytest.mark.parametrize("by", [aggregator("Cloud1"), aggregator("Cloud2"), caller("Cloud1", Role.ADMIN)])
def test_an_aggregator_or_admin_of_the_main_roster_creates_a_run(chains: Interlocked, by: object) -> None:
    assert chains.main.submit(CreateRun(RUN), by) == RUN
    assert chains.main.evaluate(GetRun("digits")) == RUN
    with pytest.raises(AlreadyExists):
        chains.main.submit(CreateRun(RUN), by)


@pytest.mark.parametrize(
    "by",
    [
        aggregator("A1"),
        caller("Cloud1", Role.TRAINER),
        caller("Cloud1", Role.RELAY),
        caller("A1", Role.ADMIN),
    ],
)
def test_others_create_none(chains: Interlocked, by: object) -> None:
    with pytest.raises(AccessDenied):
        chains.main.submit(CreateRun(RUN), by)


def test_an_edge_creates_none(chains: Interlocked) -> None:
    with pytest.raises(Conflict):
        chains.a.submit(CreateRun(RUN), aggregator("Cloud1"))


A, B, MAIN = RUN.rosters


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        (replace(RUN, run="Digits"), InvalidArgument),
        (replace(RUN, run="a/b"), InvalidArgument),
        (replace(RUN, rounds=0), InvalidArgument),
        (replace(RUN, rounds=1_000_001), InvalidArgument),
        (replace(RUN, initial=b""), InvalidArgument),
        (replace(RUN, deadline=1_750_000_000), DeadlinePassed),
        (replace(RUN, rosters=(B, A, MAIN)), InvalidArgument),
        (replace(RUN, rosters=(A, A, MAIN)), InvalidArgument),
        (replace(RUN, rosters=(A, B)), InvalidArgument),
        (replace(RUN, rosters=(MAIN,)), InvalidArgument),
        (replace(RUN, rosters=(replace(A, organisations=("A2", "A1")), MAIN)), InvalidArgument),
        (replace(RUN, rosters=(replace(A, organisations=("A1", "A1")), MAIN)), InvalidArgument),
        (replace(RUN, rosters=(replace(A, organisations=("A/1", "A2")), MAIN)), InvalidArgument),
        (replace(RUN, rosters=(replace(A, threshold=1), MAIN)), InvalidArgument),
        (replace(RUN, rosters=(replace(A, threshold=4), MAIN)), InvalidArgument),
        (replace(RUN, rosters=(EdgeRoster("edge-z", ("Z1", "Z2"), 2), MAIN)), UnknownSource),
        (replace(RUN, recipe=replace(RECIPE, code="")), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, model="a\nb")), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, data_set="x" * 257)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, classes=1)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, features=0)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, epochs=0)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, batch_size=0)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, learning_rate_ppm=0)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, momentum_ppm=1_000_000)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, seed=-1)), InvalidArgument),
        (replace(RUN, recipe=replace(RECIPE, fixed_point_bits=53)), InvalidArgument),
    ],
)
def test_unusable_runs_are_refused(chains: Interlocked, run: Run, kind: type[ContractError]) -> None:
    with pytest.raises(ContractError) as caught:
        chains.main.submit(CreateRun(run), aggregator("Cloud1"))
    assert type(caught.value) is kind


def test_an_edge_adopts_a_run_that_main_proves(chains: Interlocked) -> None:
    training = start_training(chains)
    for edge in training.edges:
        assert edge.evaluate(GetRun("digits")) == training.run


def test_refused_adoptions(chains: Interlocked) -> None:
    created = chains.main.commit(chains.main.simulate(CreateRun(RUN), aggregator("Cloud1")))
    queried = chains.main.commit(chains.main.simulate(GetRun("digits"), caller("Cloud1")))
    only_b = replace(RUN, run="other", rosters=(B, MAIN))
    elsewhere = chains.main.commit(chains.main.simulate(CreateRun(only_b), aggregator("Cloud1")))
    anchored = chains.main.anchor()
    proof = proof_of(anchored, created.transaction)
    relay = chains.a.relay
    with pytest.raises(NotFound, match="anchor 1 of main"):
        chains.a.submit(AdoptRun(proof), relay)
    carry(anchored, chains.a)
    # A query that was submitted has the same result, and is not the call that created the run.
    with pytest.raises(BadCrossChainProof, match="payload"):
        chains.a.submit(AdoptRun(proof_of(anchored, queried.transaction)), relay)
    with pytest.raises(AccessDenied):
        chains.a.submit(AdoptRun(proof_of(anchored, elsewhere.transaction)), relay)
    with pytest.raises(Conflict):
        chains.main.submit(AdoptRun(proof), chains.main.relay)
    chains.a.submit(AdoptRun(proof), relay)
    with pytest.raises(AlreadyExists):
        chains.a.submit(AdoptRun(proof), relay)


def test_unknown_runs_are_not_found(chains: Interlocked) -> None:
    with pytest.raises(NotFound):
        chains.main.evaluate(GetRun("digits"))
    with pytest.raises(InvalidArgument):
        chains.main.evaluate(GetRun("Digits"))
