"""The models: names and shapes of their tensors, their initial weights, and what they compute.

Shapes and initial weights are plain numpy and exact on every machine; only ``logits`` needs torch, which it
imports when it is called (in a worker).

==========  =====================================================================================
logistic    features → classes
mlp         features → 64 → classes, ReLU between
cnn         1 → 8 → 16 channels, 3 x 3, padding 1, each with ReLU and 2 x 2 max-pooling; then classes
==========  =====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from chaincode.api import Recipe
from training.errors import InvalidRecipe, WrongShape
from training.streams import uniform

if TYPE_CHECKING:
    import torch

__all__ = ["HIDDEN", "Weights", "check_weights", "initial_weights", "logits", "shapes"]

Weights: TypeAlias = dict[str, npt.NDArray[np.float32]]
HIDDEN: Final = 64
_CHANNELS: Final = (8, 16)
_KERNEL: Final = 3


def shapes(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor, sorted by name.

    Raises:
        InvalidRecipe: an unknown model.
    """
    features, classes = recipe.features, recipe.classes
    if recipe.model == "logistic":
        found = {"output.bias": (classes,), "output.weight": (classes, features)}
    elif recipe.model == "mlp":
        found = {
            "hidden.bias": (HIDDEN,),
            "hidden.weight": (HIDDEN, features),
            "output.bias": (classes,),
            "output.weight": (classes, HIDDEN),
        }
    elif recipe.model == "cnn":
        side = math.isqrt(features) // 2 // 2
        first, second = _CHANNELS
        found = {
            "first.bias": (first,),
            "first.weight": (first, 1, _KERNEL, _KERNEL),
            "output.bias": (classes,),
            "output.weight": (classes, second * side * side),
            "second.bias": (second,),
            "second.weight": (second, first, _KERNEL, _KERNEL),
        }
    else:
        raise InvalidRecipe(f"unknown model {recipe.model!r}")
    return dict(sorted(found.items()))


def initial_weights(recipe: Recipe) -> Weights:
    """M_0: uniform in ±1/sqrt(fan-in), from the recipe's seed alone (model version 0 of a run)."""
    layout = shapes(recipe)
    weights: Weights = {}
    for name, shape in layout.items():
        fan_in = math.prod(layout[f"{name.rsplit('.', 1)[0]}.weight"][1:])
        count = math.prod(shape)
        stream = uniform(
            1.0 / math.sqrt(fan_in), count, "edgeproof/initial/v1", recipe.seed, recipe.model, name
        )
        weights[name] = stream.reshape(shape)
    return weights


def check_weights(recipe: Recipe, weights: Weights) -> None:
    """Whether these are tensors of the recipe's model.

    Raises:
        WrongShape: a tensor is missing, unknown, or of another shape.
    """
    layout = shapes(recipe)
    if weights.keys() != layout.keys():
        raise WrongShape(f"a {recipe.model} has the tensors {', '.join(layout)}, not {', '.join(weights)}")
    for name, shape in layout.items():
        if weights[name].shape != shape:
            raise WrongShape(f"{name} has shape {weights[name].shape}, not {shape}")


def logits(recipe: Recipe, tensors: Mapping[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """The model's output before softmax.

    Args:
        recipe: names the model.
        tensors: as ``shapes`` says.
        features: shape: (examples, features).

    Returns:
        shape: (examples, classes).
    """
    from torch.nn import functional

    if recipe.model == "logistic":
        last = features
    elif recipe.model == "mlp":
        last = functional.relu(functional.linear(features, tensors["hidden.weight"], tensors["hidden.bias"]))
    else:
        side = math.isqrt(recipe.features)
        last = features.reshape(-1, 1, side, side)
        for layer in ("first", "second"):
            last = functional.conv2d(last, tensors[f"{layer}.weight"], tensors[f"{layer}.bias"], padding=1)
            last = functional.max_pool2d(functional.relu(last), 2)
        last = last.flatten(1)
    return functional.linear(last, tensors["output.weight"], tensors["output.bias"])
