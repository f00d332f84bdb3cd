"""Starting a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from training_play import MemoryStore

from chaincode.api import EdgeRoster
from training.errors import InvalidRecipe
from training.recipe import default_recipe
from training.setup import plan_run
from training.snapshots import initial_snapshot

ORGANISATIONS = {"main": ("M2", "M1"), "edge-b": ("B1", "B2"), "edge-a": ("A1", "A2", "A1")}


def test_a_plan_is_sorted_and_its_weights_are_kept():
    store = MemoryStore()
    recipe = default_recipe()
    run = plan_run("r", recipe, 4, ORGANISATIONS, 99, store)
    assert run.rosters == (
        EdgeRoster("edge-a", ("A1", "A2"), 2),
        EdgeRoster("edge-b", ("B1", "B2"), 2),
        EdgeRoster("main", ("M1", "M2"), 2),
    )
    assert store.get_tree(run.initial) == initial_snapshot(recipe)


def test_what_cannot_work_is_refused_at_once():
    with pytest.raises(InvalidRecipe, match="edge-a"):
        plan_run("r", default_recipe(), 4, {"main": ("A", "B"), "edge-a": ("A",)}, 99, MemoryStore())
    with pytest.raises(InvalidRecipe):
        plan_run("r", replace(default_recipe(), epochs=0), 4, ORGANISATIONS, 99, MemoryStore())
