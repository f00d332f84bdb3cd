"""Recipes that cannot be followed to the letter are refused; turns go round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaincode.api import EdgeRoster, Run
from training.errors import InvalidRecipe
from training.recipe import MODELS, author, check_recipe, default_recipe, roster_of


@pytest.mark.parametrize("model", MODELS)
def test_defaults_are_recipes(model):
    assert default_recipe(model).model == model


@pytest.mark.parametrize(
    "change",
    [
        {"code": "edgeproof/sgd/v2"},
        {"model": "transformer"},
        {"data_set": "mnist"},
        {"classes": 11},
        {"features": 63},
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate_ppm": 0},
        {"momentum_ppm": 1_000_000},
        {"seed": -1},
        {"fixed_point_bits": 31},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_followed_is_refused(change):
    with pytest.raises(InvalidRecipe):
        check_recipe(replace(default_recipe(), **change))


def _run(organisations):
    return Run("r", default_recipe(), 5, (EdgeRoster("edge-a", organisations, 2),), b"", 0)


def test_every_organisation_trains_and_a_failed_attempt_moves_on():
    run = _run(("A", "B", "C"))
    assert [author(run, "edge-a", number, 1) for number in range(1, 7)] == ["A", "B", "C", "A", "B", "C"]
    assert [author(run, "edge-a", 2, attempt) for attempt in (1, 2, 3, 4)] == ["B", "C", "A", "B"]


def test_a_chain_outside_the_run_has_no_roster():
    with pytest.raises(InvalidRecipe):
        roster_of(_run(("A", "B")), "edge-z")
