"""Shapes, and initial weights that are the same for ever."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from training.errors import InvalidRecipe, WrongShape
from training.models import check_weights, initial_weights, shapes
from training.recipe import MODELS, default_recipe
from training.snapshots import initial_snapshot

GOLDEN = {
    "cnn": "f4c9bbe4053d9bf4f7375c378ba53ae7a3a916797c550a127dc9bf76c04bd9dc",
    "logistic": "c188ac008203fcbb98d0c349e58f44da441a00eb7f56ba79e1d4b7a1ad6d8afc",
    "mlp": "c6229d2da2583722a9b1f2c9eb08eacb1d739cddb40a2393a00f0591c8bd2cf8",
}


@pytest.mark.parametrize("model", MODELS)
def test_initial_weights_are_golden(model):
    # M_0 is derived by every peer and named by the run: it must never change under one recipe.
    assert hashlib.sha256(initial_snapshot(default_recipe(model))).hexdigest() == GOLDEN[model]


@pytest.mark.parametrize("model", MODELS)
def test_initial_weights_fit_and_are_bounded_by_fan_in(model):
    recipe = default_recipe(model)
    weights = initial_weights(recipe)
    check_weights(recipe, weights)
    for name, tensor in weights.items():
        layer = name.split(".")[0]
        bound = 1 / math.sqrt(math.prod(shapes(recipe)[f"{layer}.weight"][1:]))
        assert float(np.abs(tensor).max()) <= np.float32(bound)
        assert len(set(tensor.ravel().tolist())) > 1


def test_mlp_is_64_64_10():
    assert shapes(default_recipe("mlp")) == {
        "hidden.bias": (64,),
        "hidden.weight": (64, 64),
        "output.bias": (10,),
        "output.weight": (10, 64),
    }


def test_another_seed_gives_other_weights():
    assert initial_snapshot(default_recipe(seed=1)) != initial_snapshot(default_recipe(seed=2))


def test_foreign_weights_are_refused():
    recipe = default_recipe("mlp")
    with pytest.raises(WrongShape):
        check_weights(recipe, initial_weights(default_recipe("logistic")))
    weights = initial_weights(recipe)
    weights["output.bias"] = weights["output.bias"][:9]
    with pytest.raises(WrongShape, match=r"output\.bias"):
        check_weights(recipe, weights)


def test_an_unknown_model_has_no_shapes():
    from dataclasses import replace

    with pytest.raises(InvalidRecipe):
        shapes(replace(default_recipe(), model="nothing"))
