"""Attestations: organisations recompute a step or an aggregate, and vote once each.

Votes are keys of their own, and the outcome is written only when it becomes final, so two votes conflict only
where one could decide what the other sees.
"""

from __future__ import annotations

import dataclasses
from typing import Final, TypeVar

from chaincode import runs
from chaincode.api import (
    Attest,
    Attestation,
    Attestations,
    EdgeRoster,
    Expire,
    GetAttestations,
    GetOutcome,
    Outcome,
    Run,
    State,
    Subject,
)
from chaincode.context import Context
from chaincode.errors import AlreadyExists, Conflict, InvalidArgument
from chaincode.outcomes import (
    Candidate,
    attestation_key,
    find_candidate,
    kept,
    newest_attempt,
    settle,
    tally,
    votes_of,
)
from identity import Role

__all__ = ["attest", "expire", "get_outcome", "list_votes"]

Q = TypeVar("Q", GetOutcome, GetAttestations)

_ROLES: Final = {Subject.STEP: Role.TRAINER, Subject.AGGREGATE: Role.AGGREGATOR}


def attest(context: Context, message: Attest) -> Outcome:
    """Cast an organisation's vote. By a trainer (on a step) or an aggregator (on an aggregate) of the roster.

    A vote after the outcome is final is recorded and changes nothing.

    Returns:
        Where the subject stands with this vote.

    Raises:
        NotFound: the run, or what is voted on, is not known here.
        AccessDenied: another role, another organisation, or one outside the roster.
        DeadlinePassed: by the transaction's time.
        InvalidArgument: another commitment, or a verdict that contradicts what was recomputed.
        AlreadyExists: the organisation voted already, or is the author, whose submission is its vote.
    """
    vote = message.attestation
    run = runs.find(context, vote.run)
    roster = runs.roster_here(context, run, _ROLES[vote.subject], vote.organisation)
    candidate = find_candidate(context, vote.subject, run.run, vote.number, vote.attempt)
    runs.check_deadline(context, run)
    _check_vote(vote, candidate)
    if vote.organisation == candidate.author:
        raise AlreadyExists(f"the submission of {vote.organisation} is its vote")
    votes = votes_of(context, candidate, roster)
    if any(cast.organisation == vote.organisation for cast in votes):
        raise AlreadyExists(f"{vote.organisation} voted already")
    context.write(attestation_key(vote.subject, vote.run, vote.number, vote.attempt, vote.organisation), vote)
    outcome = tally(candidate, roster, [*votes, vote])
    final = kept(context, vote.subject, vote.run, vote.number, vote.attempt)
    if final is not None:
        return dataclasses.replace(outcome, state=final.state)
    if outcome.state is not State.PENDING:
        settle(context, outcome)
    return outcome


def expire(context: Context, message: Expire) -> Outcome:
    """End a pending attempt after the run's deadline. Anybody of the chain may.

    Raises:
        NotFound: the run, or the attempt, is not known here.
        Conflict: before the deadline, or the attempt is not pending.
    """
    run, candidate, roster = _find(context, message)
    if not runs.is_past_deadline(context, run):
        raise Conflict(f"the deadline of run {run.run} is ahead")
    present = _stand(context, candidate, roster)
    if present.state is not State.PENDING:
        raise Conflict(f"the attempt is {present.state.value}")
    expired = dataclasses.replace(present, state=State.EXPIRED)
    settle(context, expired)
    return expired


def get_outcome(context: Context, message: GetOutcome) -> Outcome:
    """Where an attempt stands; the final outcome as it was when it became final. Attempt 0: the newest.

    Raises:
        NotFound: the run, or the attempt, is not known here.
    """
    _, candidate, roster = _find(context, _resolved(context, message))
    return _stand(context, candidate, roster)


def list_votes(context: Context, message: GetAttestations) -> Attestations:
    """The votes on an attempt, sorted by organisation; the author's submission is not among them.

    Attempt 0 asks for the newest.

    Raises:
        NotFound: the run, or the attempt, is not known here.
    """
    _, candidate, roster = _find(context, _resolved(context, message))
    return Attestations(tuple(votes_of(context, candidate, roster)))


def _resolved(context: Context, message: Q) -> Q:
    """The question with the newest attempt in place of 0. Votes and expiries always name theirs."""
    if message.attempt:
        return message
    run = runs.find(context, message.run)
    newest = newest_attempt(context, message.subject, run.run, message.number)
    return dataclasses.replace(message, attempt=newest)


def _find(
    context: Context, message: Expire | GetOutcome | GetAttestations
) -> tuple[Run, Candidate, EdgeRoster]:
    run = runs.find(context, message.run)
    candidate = find_candidate(context, message.subject, run.run, message.number, message.attempt)
    return run, candidate, runs.roster_of(run, context.chain)


def _stand(context: Context, candidate: Candidate, roster: EdgeRoster) -> Outcome:
    final = kept(context, candidate.subject, candidate.run, candidate.number, candidate.attempt)
    return final or tally(candidate, roster, votes_of(context, candidate, roster))


def _check_vote(vote: Attestation, candidate: Candidate) -> None:
    """The verdict says what the tree hashes say: a vote that contradicts itself is refused, not counted."""
    if vote.commitment != candidate.commitment:
        raise InvalidArgument("the vote names another commitment than was submitted")
    runs.check_environment(vote.environment)
    same = vote.recomputed == candidate.result
    if len(vote.recomputed) not in (0, 32) or (vote.agrees and not vote.recomputed):
        raise InvalidArgument("recomputed is a tree hash of 32 bytes, empty only where an input was withheld")
    consistent = {
        "equal": vote.agrees and same,
        "within": vote.agrees and not same,
        "differs": not vote.agrees and not same,
    }
    if not consistent.get(vote.verdict, False):
        raise InvalidArgument("verdict, agreement and recomputed tree hash contradict each other")
