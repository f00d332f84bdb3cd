"""Starting a run: initial weights into the store, the run onto main."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaincode.api import CreateRun, EdgeRoster, Recipe, Run
from ledger.port import Ledger, Receipt
from store.port import Store
from training.errors import InvalidRecipe
from training.recipe import check_recipe
from training.snapshots import initial_snapshot

__all__ = ["create_run", "plan_run"]


def plan_run(
    name: str,
    recipe: Recipe,
    rounds: int,
    organisations: Mapping[str, Sequence[str]],
    deadline: int,
    store: Store,
    *,
    threshold: int = 2,
) -> Run:
    """The run, its initial weights kept in ``store``.

    Args:
        name: of the run.
        recipe: frozen with it.
        rounds: steps of each edge and versions of the model.
        organisations: MSP ids by chain, main included.
        deadline: seconds since 1970 UTC.
        store: main's.
        threshold: distinct organisations that make a step or a version accepted, its author included.

    Raises:
        InvalidRecipe: this code cannot follow the recipe, or fewer organisations than the threshold.
    """
    check_recipe(recipe)
    rosters = tuple(
        EdgeRoster(chain, tuple(sorted(set(members))), threshold)
        for chain, members in sorted(organisations.items())
    )
    for roster in rosters:
        if not 2 <= threshold <= len(roster.organisations):
            raise InvalidRecipe(
                f"{roster.chain} has {len(roster.organisations)} organisations, not {threshold}"
            )
    return Run(name, recipe, rounds, rosters, store.put_tree(initial_snapshot(recipe)), deadline)


def create_run(main: Ledger, run: Run) -> Receipt:
    """Create the run on main, as an aggregator or an admin of its main roster.

    Raises:
        ContractRefused: the contract does not take it (``already-exists``: there is a run of this name).
    """
    return main.submit(CreateRun(run))
