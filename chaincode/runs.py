"""Training runs: the recipe, rosters, thresholds and deadline that are frozen before the first step."""

from __future__ import annotations

from typing import Final

from chaincode import sources
from chaincode.api import AdoptRun, CreateRun, EdgeRoster, Environment, GetRun, Recipe, Run
from chaincode.context import Context
from chaincode.crosschain import proved_result
from chaincode.cuts import MAIN
from chaincode.errors import AccessDenied, AlreadyExists, Conflict, DeadlinePassed, InvalidArgument
from chaincode.names import check_chain, check_digest, check_organisation, check_run
from identity import Role

__all__ = [
    "adopt",
    "check_deadline",
    "check_environment",
    "create",
    "find",
    "get",
    "is_past_deadline",
    "roster_here",
    "roster_of",
    "run_key",
]

_MAX_ROUNDS: Final = 1_000_000
_MAX_CHAINS: Final = 1_000
_MAX_ORGANISATIONS: Final = 64
_MAX_TEXT: Final = 256
_MILLION: Final = 1_000_000


def run_key(run: str) -> str:
    """State key of a run."""
    return f"run/{run}"


def create(context: Context, message: CreateRun) -> Run:
    """Create a run. On main, by an aggregator or admin of an organisation of the run's main roster.

    Raises:
        AccessDenied: another role or organisation.
        Conflict: not on main, or an edge of the run is not registered here.
        InvalidArgument: a recipe, roster or number outside its range.
        DeadlinePassed: the deadline is not ahead.
        AlreadyExists: the name is taken.
    """
    context.require_role(Role.AGGREGATOR, Role.ADMIN)
    if context.chain != MAIN:
        raise Conflict("a run is created on main and adopted on the edges")
    run = message.run
    check_run(run.run)
    check_digest(run.initial, "initial weights")
    if not 1 <= run.rounds <= _MAX_ROUNDS:
        raise InvalidArgument(f"a run has 1 to {_MAX_ROUNDS} rounds")
    _check_recipe(run.recipe)
    _check_rosters(run.rosters)
    if context.creator.msp_id not in roster_of(run, MAIN).organisations:
        raise AccessDenied(f"{context.creator.msp_id} is not on the run's main roster")
    for roster in run.rosters:
        if roster.chain != MAIN:
            sources.find(context, roster.chain)
    check_deadline(context, run)
    if context.state.get(run_key(run.run)) is not None:
        raise AlreadyExists(f"run {run.run} exists already")
    context.write(run_key(run.run), run)
    return run


def adopt(context: Context, message: AdoptRun) -> Run:
    """Take over a run of main. On an edge of the run; anybody of the chain carries it.

    Raises:
        Conflict: on main itself.
        UnknownSource, NotFound, StaleAnchor, BadCrossChainProof: the run is not proved.
        AccessDenied: this chain is not in the run.
        AlreadyExists: the run is adopted already.
    """
    if context.chain == MAIN:
        raise Conflict("a run is adopted on the edges")
    run: Run = proved_result(context, message.proof, MAIN, CreateRun)
    roster_of(run, context.chain)
    if context.state.get(run_key(run.run)) is not None:
        raise AlreadyExists(f"run {run.run} is adopted already")
    context.write(run_key(run.run), run)
    return run


def get(context: Context, message: GetRun) -> Run:
    """The run.

    Raises:
        InvalidArgument: not a run's name.
        NotFound: it is not created, or not adopted, here.
    """
    return find(context, message.run)


def find(context: Context, run: str) -> Run:
    """The run of that name.

    Raises:
        InvalidArgument: not a run's name.
        NotFound: it is not created, or not adopted, here.
    """
    check_run(run)
    return context.require(Run, run_key(run), f"run {run}")


def roster_of(run: Run, chain: str) -> EdgeRoster:
    """Who works for the run on that chain.

    Raises:
        AccessDenied: the chain is not in the run.
    """
    for roster in run.rosters:
        if roster.chain == chain:
            return roster
    raise AccessDenied(f"chain {chain} is not in run {run.run}")


def roster_here(context: Context, run: Run, role: Role, organisation: str) -> EdgeRoster:
    """This chain's roster, once the caller is seen to act in ``role`` for ``organisation`` of that roster.

    Raises:
        AccessDenied: another role, another organisation, or one outside the roster.
    """
    context.require_role(role)
    if organisation != context.creator.msp_id:
        raise AccessDenied(f"{context.creator.msp_id} cannot act for {organisation[:80]!r}")
    roster = roster_of(run, context.chain)
    if organisation not in roster.organisations:
        raise AccessDenied(f"{organisation} is not on the roster of {context.chain} in run {run.run}")
    return roster


def is_past_deadline(context: Context, run: Run) -> bool:
    """Whether the transaction's time is at or after the run's deadline."""
    return context.timestamp_ms >= run.deadline * 1000


def check_deadline(context: Context, run: Run) -> None:
    """Let pass only before the deadline.

    Raises:
        DeadlinePassed: by the transaction's time.
    """
    if is_past_deadline(context, run):
        raise DeadlinePassed(f"the deadline of run {run.run} is over")


def check_environment(environment: Environment) -> None:
    """A fingerprint's fields are printable and short.

    Raises:
        InvalidArgument: one is not.
    """
    for name in ("python", "torch", "machine", "capability"):
        _check_text(getattr(environment, name), f"environment's {name}")


def _check_text(value: str, what: str) -> None:
    if not 1 <= len(value) <= _MAX_TEXT or not value.isprintable():
        raise InvalidArgument(f"{what} is 1 to {_MAX_TEXT} printable characters")


def _check_recipe(recipe: Recipe) -> None:
    for name in ("code", "model", "data_set"):
        _check_text(getattr(recipe, name), f"recipe's {name}")
    ranges = {
        "classes": (2, _MILLION),
        "features": (1, 100 * _MILLION),
        "epochs": (1, _MILLION),
        "batch_size": (1, _MILLION),
        "learning_rate_ppm": (1, 100 * _MILLION),
        "momentum_ppm": (0, _MILLION - 1),
        "seed": (0, 2**53 - 1),
        "fixed_point_bits": (1, 52),
    }
    for name, (low, high) in ranges.items():
        if not low <= getattr(recipe, name) <= high:
            raise InvalidArgument(f"recipe's {name} is {low} to {high}")


def _check_rosters(rosters: tuple[EdgeRoster, ...]) -> None:
    """Main and at least one edge; everywhere two organisations at least must agree."""
    chains = [roster.chain for roster in rosters]
    if chains != sorted(set(chains)):
        raise InvalidArgument("rosters are sorted by chain, each chain once")
    if MAIN not in chains or not 2 <= len(chains) <= _MAX_CHAINS:
        raise InvalidArgument(f"a run is of main and 1 to {_MAX_CHAINS - 1} edges")
    for roster in rosters:
        check_chain(roster.chain)
        organisations = list(roster.organisations)
        if organisations != sorted(set(organisations)) or len(organisations) > _MAX_ORGANISATIONS:
            raise InvalidArgument(
                f"a roster is at most {_MAX_ORGANISATIONS} organisations, sorted, each once"
            )
        for organisation in organisations:
            check_organisation(organisation)
        if not 2 <= roster.threshold <= len(organisations):
            raise InvalidArgument(f"threshold of {roster.chain} is 2 to {len(organisations)}")
