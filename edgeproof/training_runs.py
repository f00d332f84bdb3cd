"""Starting and following training runs of a deployment."""

from __future__ import annotations

import dataclasses

from chaincode.api import GetOutcome, GetRun, Run, State, Subject
from edgeproof.wiring import Parts
from identity import Role
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from training.recipe import default_recipe
from training.setup import create_run, plan_run

__all__ = ["accepted_steps", "accepted_versions", "find_run", "start_run"]


def find_run(parts: Parts, name: str) -> Run | None:
    """The run of that name, or None where main knows none.

    Raises:
        LedgerError: main does not answer, or the name is none.
    """
    try:
        run: Run = evaluate_typed(parts.readers[parts.deployment.plan.main.chain], GetRun(run=name))
    except ContractRefused as error:
        if error.code != "not-found":
            raise
        return None
    return run


def start_run(
    parts: Parts, name: str, model: str, rounds: int, *, epochs: int | None, seed: int, deadline: int
) -> Run:
    """Create a run over every edge; a run of that name is left as it is and returned.

    Args:
        parts: of this process.
        name: of the run.
        model: ``logistic``, ``mlp`` or ``cnn``.
        rounds: local updates an edge.
        epochs: passes over the data a round; the recipe's default when None.
        seed: of the initial weights and of every shuffle.
        deadline: seconds since 1970 UTC.

    Raises:
        InvalidRecipe: this code cannot follow it.
        LedgerError: main does not take it.
    """
    existing = find_run(parts, name)
    if existing is not None:
        return existing
    plan = parts.deployment.plan
    main = parts.ledger(plan.main.chain, plan.main.operator, Role.AGGREGATOR)
    recipe = default_recipe(model, seed=seed)
    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    organisations = {chain.chain: chain.organisations for chain in plan.chains}
    run = plan_run(name, recipe, rounds, organisations, deadline, parts.store(plan.main.chain))
    create_run(main, run)
    return run


def accepted_versions(parts: Parts, run: Run, *, start: int = 0) -> int:
    """How many versions of the run main has accepted so far; the first ``start`` are known to be."""
    return _accepted(parts.readers[parts.deployment.plan.main.chain], Subject.AGGREGATE, run, start)


def accepted_steps(parts: Parts, run: Run, edge: str, *, start: int = 0) -> int:
    """How many steps of the run an edge has accepted so far; the first ``start`` are known to be."""
    return _accepted(parts.readers[edge], Subject.STEP, run, start)


def _accepted(ledger: Ledger, subject: Subject, run: Run, start: int) -> int:
    for number in range(start + 1, run.rounds + 1):
        try:
            outcome = evaluate_typed(ledger, GetOutcome(subject, run.run, number, 0))
        except ContractRefused as error:
            if error.code != "not-found":
                raise
            return number - 1
        if outcome.state is not State.ACCEPTED:
            return number - 1
    return run.rounds
