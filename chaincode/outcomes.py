"""Where a step or an aggregate stands: tallies over the roster's keys, and the outcome once it is final.

The author's submission is its organisation's agreement; every other organisation of the roster has one
write-once vote. A subject is accepted when ``threshold`` organisations agree, and rejected when so many
disagree that the threshold cannot be reached any more. Both depend on the votes alone and never turn, so a
late vote changes no state. Expiry alone is decided by time, and is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaincode.api import Attestation, EdgeRoster, ModelVersion, Outcome, State, Step, Subject
from chaincode.context import Context
from chaincode.errors import AlreadyExists, BadCrossChainProof, Conflict, Gap, InvalidArgument, NotFound

__all__ = [
    "Candidate",
    "accepted",
    "attestation_key",
    "check_next_attempt",
    "check_proved",
    "find_candidate",
    "kept",
    "newest_attempt",
    "settle",
    "subject_key",
    "tally",
    "votes_of",
]

_MAX_ATTEMPTS: Final = 1_000


@dataclass(frozen=True)
class Candidate:
    """A submitted step or aggregate, as its attestation sees it."""

    subject: Subject
    run: str
    number: int
    attempt: int
    author: str
    commitment: bytes
    result: bytes
    examples: int


def subject_key(subject: Subject, run: str, number: int, attempt: int) -> str:
    """State key of a step or a model version."""
    kind = "step" if subject is Subject.STEP else "model"
    return f"{kind}/{run}/{number}/{attempt}"


def attestation_key(subject: Subject, run: str, number: int, attempt: int, organisation: str) -> str:
    """State key of one organisation's vote."""
    return f"attestation/{subject.value}/{run}/{number}/{attempt}/{organisation}"


def _outcome_key(subject: Subject, run: str, number: int, attempt: int) -> str:
    return f"outcome/{subject.value}/{run}/{number}/{attempt}"


def _accepted_key(subject: Subject, run: str, number: int) -> str:
    return f"accepted/{subject.value}/{run}/{number}"


def find_candidate(context: Context, subject: Subject, run: str, number: int, attempt: int) -> Candidate:
    """The submitted step or aggregate; ``run`` is a checked name.

    Raises:
        NotFound: nothing was submitted under this number and attempt.
    """
    key, what = subject_key(subject, run, number, attempt), f"{subject.value} {run}/{number}/{attempt}"
    if subject is Subject.STEP:
        step = context.require(Step, key, what)
        return Candidate(
            subject, run, number, attempt, step.trainer, step.commitment, step.result, step.examples
        )
    model = context.require(ModelVersion, key, what)
    examples = sum(entry.examples for entry in model.inputs)
    return Candidate(subject, run, number, attempt, model.author, model.commitment, model.result, examples)


def newest_attempt(context: Context, subject: Subject, run: str, number: int) -> int:
    """The newest attempt that was submitted.

    Raises:
        NotFound: there is none.
    """
    attempt = 0
    while attempt < _MAX_ATTEMPTS:
        if context.state.get(subject_key(subject, run, number, attempt + 1)) is None:
            break
        attempt += 1
    if attempt == 0:
        raise NotFound(f"{subject.value} {run}/{number} is not known on {context.chain}")
    return attempt


def check_next_attempt(context: Context, subject: Subject, run: str, number: int, attempt: int) -> None:
    """Attempts are dense from 1, and a new one follows only what was rejected or expired.

    Raises:
        InvalidArgument: below 1, or beyond any sensible number.
        AlreadyExists: this attempt was submitted already.
        Gap: the attempt before it was never submitted.
        Conflict: the attempt before it is pending or accepted.
    """
    if not 1 <= attempt <= _MAX_ATTEMPTS:
        raise InvalidArgument(f"an attempt is 1 to {_MAX_ATTEMPTS}")
    what = f"{subject.value} {run}/{number}"
    if context.state.get(subject_key(subject, run, number, attempt)) is not None:
        raise AlreadyExists(f"attempt {attempt} of {what} was submitted already")
    if attempt == 1:
        return
    if context.state.get(subject_key(subject, run, number, attempt - 1)) is None:
        raise Gap(f"attempt {attempt - 1} of {what} was never submitted")
    before = kept(context, subject, run, number, attempt - 1)
    if before is None or before.state is State.ACCEPTED:
        state = before.state.value if before else State.PENDING.value
        raise Conflict(f"attempt {attempt - 1} of {what} is {state}")


def votes_of(context: Context, candidate: Candidate, roster: EdgeRoster) -> list[Attestation]:
    """The votes cast so far, sorted by organisation; read by the roster's keys, never by range."""
    keys = (
        attestation_key(candidate.subject, candidate.run, candidate.number, candidate.attempt, organisation)
        for organisation in sorted(roster.organisations)
        if organisation != candidate.author
    )
    return [vote for vote in (context.read(Attestation, key) for key in keys) if vote is not None]


def tally(candidate: Candidate, roster: EdgeRoster, votes: list[Attestation]) -> Outcome:
    """The outcome that the votes alone make."""
    agreeing = {candidate.author} | {vote.organisation for vote in votes if vote.agrees}
    disagreeing = {vote.organisation for vote in votes if not vote.agrees}
    state = State.PENDING
    if len(agreeing) >= roster.threshold:
        state = State.ACCEPTED
    elif len(roster.organisations) - len(disagreeing) < roster.threshold:
        state = State.REJECTED
    return Outcome(
        subject=candidate.subject,
        run=candidate.run,
        number=candidate.number,
        attempt=candidate.attempt,
        commitment=candidate.commitment,
        result=candidate.result,
        examples=candidate.examples,
        state=state,
        agreeing=tuple(sorted(agreeing)),
        disagreeing=tuple(sorted(disagreeing)),
    )


def kept(context: Context, subject: Subject, run: str, number: int, attempt: int) -> Outcome | None:
    """The final outcome as it was when it became final; None while pending."""
    return context.read(Outcome, _outcome_key(subject, run, number, attempt))


def accepted(context: Context, subject: Subject, run: str, number: int) -> Outcome | None:
    """The accepted attempt's outcome; None while there is none."""
    return context.read(Outcome, _accepted_key(subject, run, number))


def settle(context: Context, outcome: Outcome) -> None:
    """Keep an outcome that has just become final."""
    context.write(_outcome_key(outcome.subject, outcome.run, outcome.number, outcome.attempt), outcome)
    if outcome.state is State.ACCEPTED:
        context.write(_accepted_key(outcome.subject, outcome.run, outcome.number), outcome)


def check_proved(outcome: Outcome, subject: Subject, run: str, number: int, roster: EdgeRoster) -> None:
    """Another chain's outcome is an acceptance of what is meant, by enough organisations of its roster.

    The other chain's contract saw to the last; it is looked at again because the roster is known here too.

    Raises:
        BadCrossChainProof: it is not.
    """
    if (outcome.subject, outcome.run, outcome.number) != (subject, run, number):
        raise BadCrossChainProof(
            f"an outcome of {subject.value} {run}/{number} is wanted, "
            f"not of {outcome.subject.value} {outcome.run}/{outcome.number}"
        )
    if outcome.state is not State.ACCEPTED:
        raise BadCrossChainProof(f"{subject.value} {run}/{number} is {outcome.state.value}, not accepted")
    if len(set(outcome.agreeing) & set(roster.organisations)) < roster.threshold:
        raise BadCrossChainProof(f"fewer than {roster.threshold} of {roster.chain}'s roster agree")
