"""Recipes: all that decides a step's result beside its inputs (chaincode.api.Recipe), checked before use."""

from __future__ import annotations

import math
from typing import Final

from chaincode.api import EdgeRoster, Recipe, Run
from training.errors import InvalidRecipe

__all__ = [
    "ABSOLUTE_TOLERANCE",
    "CODE",
    "DIGITS",
    "MODELS",
    "RELATIVE_TOLERANCE",
    "author",
    "check_recipe",
    "default_recipe",
    "roster_of",
]

CODE: Final = "edgeproof/sgd/v1"
"""The update rule of ``training.local_update``; another rule gets another name."""
DIGITS: Final = "edgeproof/digits/v1"
"""The decoder of ``training.datasets``: an 8 x 8 image of 17 grey levels with its label."""
MODELS: Final = ("cnn", "logistic", "mlp")

# The tolerance that ``edgeproof/sgd/v1`` declares for a recomputation in another environment, per weight:
# |a - b| <= ABSOLUTE + RELATIVE * |b|. In an equal environment nothing but bit equality passes.
ABSOLUTE_TOLERANCE: Final = 1e-4
RELATIVE_TOLERANCE: Final = 1e-3

_MAX_FEATURES: Final = 65536
_RANGES: Final = {
    "classes": (2, 1000),
    "features": (1, _MAX_FEATURES),
    "epochs": (1, 1000),
    "batch_size": (1, 65536),
    "learning_rate_ppm": (1, 100_000_000),
    "momentum_ppm": (0, 999_999),
    "seed": (0, 2**53 - 1),
    "fixed_point_bits": (8, 30),
}


def default_recipe(model: str = "mlp", *, seed: int = 1) -> Recipe:
    """A recipe that learns scikit-learn's digits within a few rounds.

    Args:
        model: ``logistic``, ``mlp`` (64-64-10) or ``cnn``.
        seed: of the initial weights and of every shuffle.
    """
    recipe = Recipe(
        code=CODE,
        model=model,
        data_set=DIGITS,
        classes=10,
        features=64,
        epochs=3,
        batch_size=16,
        learning_rate_ppm=100_000,
        momentum_ppm=500_000,
        seed=seed,
        fixed_point_bits=24,
    )
    check_recipe(recipe)
    return recipe


def check_recipe(recipe: Recipe) -> None:
    """Refuse what this code cannot follow to the letter.

    Raises:
        InvalidRecipe: unknown code, model or data set, or a number out of its range.
    """
    if recipe.code != CODE:
        raise InvalidRecipe(f"unknown update rule {recipe.code!r}; this code knows {CODE}")
    if recipe.model not in MODELS:
        raise InvalidRecipe(f"unknown model {recipe.model!r}; known are {', '.join(MODELS)}")
    if recipe.data_set != DIGITS:
        raise InvalidRecipe(f"unknown data set {recipe.data_set!r}; this code knows {DIGITS}")
    for name, (low, high) in _RANGES.items():
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise InvalidRecipe(f"{name} must lie between {low} and {high}, not {value}")
    if recipe.features != 64 or recipe.classes != 10:
        raise InvalidRecipe(f"{DIGITS} has 64 features and 10 classes")
    if recipe.model == "cnn" and math.isqrt(recipe.features) ** 2 != recipe.features:
        raise InvalidRecipe("a cnn needs a square image")


def roster_of(run: Run, chain: str) -> EdgeRoster:
    """The run's roster for a chain.

    Raises:
        InvalidRecipe: the run has none for this chain.
    """
    for roster in run.rosters:
        if roster.chain == chain:
            return roster
    raise InvalidRecipe(f"run {run.run} has no roster for {chain}")


def author(run: Run, chain: str, number: int, attempt: int) -> str:
    """The one organisation that makes this attempt on this chain; the turn goes round (0 < number, attempt).

    Every organisation of a roster trains, and a failed attempt falls to the next one, so that one
    organisation alone can neither own a chain's model nor halt it.
    """
    organisations = roster_of(run, chain).organisations
    return organisations[(number + attempt - 2) % len(organisations)]
