"""Training steps: a local update on an edge, and what it commits to (seed 003, section V.B, equation (2))."""

from __future__ import annotations

from typing import Final

from chaincode import runs
from chaincode.api import Attest, GetStep, Outcome, Run, Step, Subject, SubmitStep
from chaincode.context import Context
from chaincode.crosschain import proved_result
from chaincode.cuts import MAIN
from chaincode.errors import BadCrossChainProof, Conflict, InvalidArgument
from chaincode.names import check_digest
from chaincode.outcomes import accepted, check_next_attempt, check_proved, newest_attempt, subject_key
from identity import Role
from protocol.commitments import recipe_digest, step_commitment

__all__ = ["get", "parent_of", "submit"]

_MAX_EXAMPLES: Final = 2**40


def submit(context: Context, message: SubmitStep) -> Step:
    """Submit a step. On an edge of the run, by a trainer of an organisation of its roster.

    Step i uses the aggregate of version i - 1: one step a round.

    Raises:
        Conflict: on main, before the step before is accepted, or while the attempt before stands.
        NotFound: the run is not adopted here, or main's anchor is not held here.
        AccessDenied: not a trainer of the roster, or for another organisation.
        DeadlinePassed: by the transaction's time.
        InvalidArgument: a number outside the run, a parent that is not the accepted result before, another
            aggregate version, or a commitment that does not follow from the step.
        AlreadyExists, Gap: the attempt is not the next one.
        UnknownSource, StaleAnchor, BadCrossChainProof: the aggregate is not proved.
    """
    step = message.step
    if context.chain == MAIN:
        raise Conflict("steps are submitted on the edges")
    run = runs.find(context, step.run)
    runs.roster_here(context, run, Role.TRAINER, step.trainer)
    runs.check_deadline(context, run)
    if not 1 <= step.number <= run.rounds:
        raise InvalidArgument(f"run {run.run} has steps 1 to {run.rounds}")
    check_next_attempt(context, Subject.STEP, run.run, step.number, step.attempt)
    if step.parent != parent_of(context, Subject.STEP, run, step.number):
        raise InvalidArgument(f"the parent is not the accepted result of step {step.number - 1}")
    _check_aggregate(context, message, run)
    _check_commitment(run, step)
    context.write(subject_key(Subject.STEP, step.run, step.number, step.attempt), step)
    return step


def get(context: Context, message: GetStep) -> Step:
    """A submitted step; attempt 0 asks for the newest.

    Raises:
        NotFound: the run or the step is not known here.
    """
    run = runs.find(context, message.run)
    attempt = message.attempt or newest_attempt(context, Subject.STEP, run.run, message.number)
    key = subject_key(Subject.STEP, run.run, message.number, attempt)
    return context.require(Step, key, f"step {run.run}/{message.number}/{attempt}")


def parent_of(context: Context, subject: Subject, run: Run, number: int) -> bytes:
    """What step or version ``number`` starts from: the accepted result before it, or the initial weights.

    Raises:
        Conflict: the one before is not accepted yet.
    """
    if number == 1:
        return run.initial
    before = accepted(context, subject, run.run, number - 1)
    if before is None:
        raise Conflict(f"{subject.value} {run.run}/{number - 1} is not accepted yet")
    return before.result


def _check_aggregate(context: Context, message: SubmitStep, run: Run) -> None:
    step, proof = message.step, message.proof
    if step.aggregate_version != step.number - 1:
        raise InvalidArgument(f"step {step.number} uses the aggregate of version {step.number - 1}")
    if step.aggregate_version == 0:
        if proof is not None or step.aggregate != run.initial:
            raise InvalidArgument("version 0 is the run's initial weights and takes no proof")
        return
    if proof is None:
        raise BadCrossChainProof(f"version {step.aggregate_version} is not proved")
    outcome: Outcome = proved_result(context, proof, MAIN, Attest)
    roster = runs.roster_of(run, MAIN)
    check_proved(outcome, Subject.AGGREGATE, run.run, step.aggregate_version, roster)
    if outcome.result != step.aggregate:
        raise BadCrossChainProof(f"main accepted another version {step.aggregate_version}")


def _check_commitment(run: Run, step: Step) -> None:
    for name in ("data", "result", "commitment"):
        check_digest(getattr(step, name), name)
    if not 1 <= step.examples <= _MAX_EXAMPLES:
        raise InvalidArgument(f"a step trains on 1 to {_MAX_EXAMPLES} examples")
    runs.check_environment(step.environment)
    expected = step_commitment(
        result=step.result,
        parent=step.parent,
        aggregate=step.aggregate,
        data=step.data,
        recipe=recipe_digest(run.recipe),
        number=step.number,
        run=step.run,
    )
    if step.commitment != expected:
        raise InvalidArgument("the commitment does not follow from the step")
