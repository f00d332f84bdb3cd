"""What makes a model version believed: a chain of accepted rounds from the run's initial weights.

Seed 003, section V.B, equation (2), and what it forgot to bind. Commitments are recomputed, every step starts
from the accepted result before it and from the accepted aggregate, every input of an aggregate is an accepted
step, and every data set's records are proved one by one. That the numbers themselves follow from their inputs
is attested by organisations here, and checked by ``audit recompute``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit.errors import Check, Invalid, Unverifiable
from audit.evidence import Evidence, Shown, accepted_key
from audit.records import check_record
from chaincode.api import (
    AggregateInput,
    Attest,
    CommitModel,
    CreateRun,
    EdgeRoster,
    ModelVersion,
    Outcome,
    Run,
    Step,
    Subject,
    SubmitStep,
)
from protocol.commitments import aggregate_commitment, recipe_digest, step_commitment

__all__ = ["LineageFacts", "check_lineage"]


@dataclass(frozen=True)
class LineageFacts:
    """What is known of a verified model version or round."""

    run: str
    version: int
    result: str
    """Tree hash of the version's weights."""
    rounds: int
    """Rounds that were checked."""
    steps: int
    records: int
    """Distinct records that the steps trained on."""
    organisations: tuple[str, ...]
    """All that agreed to some step or aggregate, sorted."""
    commitments: dict[str, str]
    """Of each step, by ``chain/number``: its commitment, 64 hex digits."""


class _Walk:
    """The walk through a run's rounds."""

    def __init__(self, evidence: Evidence, main: str, run: Run) -> None:
        self.evidence = evidence
        self.main = main
        self.run = run
        self.recipe = recipe_digest(run.recipe)
        self.rosters = {roster.chain: roster for roster in run.rosters}
        self.edges = [roster.chain for roster in run.rosters if roster.chain != main]
        self.results: dict[str, bytes] = dict.fromkeys(self.rosters, run.initial)
        """By chain, the accepted result of the round before; main's is the aggregate M_O."""
        self.steps = 0
        self.records: set[tuple[str, bytes]] = set()
        self.organisations: set[str] = set()
        self.commitments: dict[str, str] = {}


def check_lineage(evidence: Evidence, main: str, subject: str, *, whole: bool) -> LineageFacts:
    """Check the rounds up to a version (``whole``), or one round and what it starts from.

    Raises:
        Unverifiable: a part is not in the bundle.
        Invalid: checks ``run``, ``roster``, ``outcome``, ``aggregate``, ``step``, ``data-set``, and those of
            ``check_record``.
    """
    name, _, text = subject.partition(":")
    version = int(text)
    # 1. The run, frozen before its first step.
    created = evidence.find(CreateRun, main, name)
    run: Run = created.result
    _check_run(run, main, version, created.where)
    walk = _Walk(evidence, main, run)
    # 2. A single round starts from the accepted results of the one before, whose own lineage is not shown.
    first = 1 if whole else version
    if first > 1:
        for chain in walk.rosters:
            kind = Subject.AGGREGATE if chain == main else Subject.STEP
            walk.results[chain] = _accepted(walk, chain, kind, first - 1).result.result
    # 3. Round by round.
    for number in range(first, version + 1):
        _check_round(walk, number)
    return LineageFacts(
        run=name,
        version=version,
        result=walk.results[main].hex(),
        rounds=version - first + 1,
        steps=walk.steps,
        records=len(walk.records),
        organisations=tuple(sorted(walk.organisations)),
        commitments=walk.commitments,
    )


def _check_run(run: Run, main: str, version: int, where: str) -> None:
    chains = [roster.chain for roster in run.rosters]
    if chains != sorted(set(chains)) or main not in chains or len(chains) < 2:
        raise Invalid(Check.RUN, "the rosters are not one for each chain, main and an edge among them", where)
    if not 1 <= version <= run.rounds:
        raise Invalid(Check.RUN, f"the run has versions 1 to {run.rounds}", where)
    for roster in run.rosters:
        organisations = list(roster.organisations)
        if organisations != sorted(set(organisations)) or not 2 <= roster.threshold <= len(organisations):
            raise Invalid(Check.ROSTER, f"the roster of {roster.chain} names no quorum of two or more", where)


def _check_round(walk: _Walk, number: int) -> None:
    # a. Main accepted the version.
    vote = _accepted(walk, walk.main, Subject.AGGREGATE, number)
    outcome: Outcome = vote.result
    committed = walk.evidence.find(CommitModel, walk.main, f"{walk.run.run}/{number}/{outcome.attempt}")
    model: ModelVersion = committed.result
    _check_author(walk, walk.main, model.author, vote, committed)
    # b. The version follows from the one before and commits to all it names.
    _check_model(walk, model, outcome, committed.where)
    # c. Its inputs are the accepted steps of every edge of the run.
    if [entry.chain for entry in model.inputs] != walk.edges:
        raise Invalid(Check.AGGREGATE, "the inputs are not one of each edge of the run", committed.where)
    results = {entry.chain: _check_input(walk, entry, number, committed.where) for entry in model.inputs}
    walk.results = {walk.main: model.result, **results}


def _check_model(walk: _Walk, model: ModelVersion, outcome: Outcome, where: str) -> None:
    if model.parent != walk.results[walk.main]:
        raise Invalid(Check.AGGREGATE, f"the parent is not the accepted version {model.version - 1}", where)
    expected = aggregate_commitment(
        model.result, model.parent, model.inputs, walk.recipe, model.version, model.run
    )
    if model.commitment != expected:
        raise Invalid(Check.AGGREGATE, "the commitment does not follow from the version", where)
    if outcome.commitment != model.commitment or outcome.result != model.result:
        raise Invalid(Check.OUTCOME, "another version was accepted than was committed", where)


def _check_input(walk: _Walk, entry: AggregateInput, number: int, where: str) -> bytes:
    """Check one edge's step of a round; its result."""
    chain = entry.chain
    vote = _accepted(walk, chain, Subject.STEP, number)
    outcome: Outcome = vote.result
    accepted = AggregateInput(
        chain, outcome.number, outcome.attempt, outcome.commitment, outcome.result, outcome.examples
    )
    if entry != accepted:
        raise Invalid(Check.AGGREGATE, f"the input of {chain} is not the step that {chain} accepted", where)
    submitted = walk.evidence.find(SubmitStep, chain, f"{walk.run.run}/{number}/{outcome.attempt}")
    step: Step = submitted.result
    _check_author(walk, chain, step.trainer, vote, submitted)
    _check_step(walk, chain, step, submitted.where)
    if (outcome.commitment, outcome.result, outcome.examples) != (
        step.commitment,
        step.result,
        step.examples,
    ):
        raise Invalid(Check.OUTCOME, "another step was accepted than was submitted", submitted.where)
    _check_data(walk, chain, step, submitted.where)
    walk.steps += 1
    walk.commitments[f"{chain}/{number}"] = step.commitment.hex()
    return step.result


def _check_step(walk: _Walk, chain: str, step: Step, where: str) -> None:
    if step.parent != walk.results[chain]:
        raise Invalid(Check.STEP, f"M_i is not the accepted result of step {step.number - 1}", where)
    if step.aggregate_version != step.number - 1 or step.aggregate != walk.results[walk.main]:
        raise Invalid(Check.STEP, f"M_O is not the accepted version {step.number - 1}", where)
    expected = step_commitment(
        step.result, step.parent, step.aggregate, step.data, walk.recipe, step.number, step.run
    )
    if step.commitment != expected:
        raise Invalid(Check.STEP, "the commitment does not follow from the step", where)


def _check_data(walk: _Walk, chain: str, step: Step, where: str) -> None:
    records = walk.evidence.manifest(step.data)
    if not 1 <= step.examples <= len(records):
        raise Invalid(Check.DATA_SET, f"{step.examples} examples of {len(records)} records", where)
    for record in records:
        if (chain, record) not in walk.records:
            check_record(walk.evidence, chain, record)
            walk.records.add((chain, record))


def _accepted(walk: _Walk, chain: str, subject: Subject, number: int) -> Shown[Any]:
    """The vote with which a subject stood accepted, by the run's threshold of that chain's organisations."""
    shown = walk.evidence.find(Attest, chain, accepted_key(subject.value, walk.run.run, number))
    outcome: Outcome = shown.result
    roster = _roster(walk, chain)
    agreeing = list(outcome.agreeing)
    if agreeing != sorted(set(agreeing)) or not set(agreeing) <= set(roster.organisations):
        raise Invalid(Check.ROSTER, "others than the roster's organisations agreed", shown.where)
    if len(agreeing) < roster.threshold or set(agreeing) & set(outcome.disagreeing):
        raise Invalid(
            Check.ROSTER, f"{len(agreeing)} of {roster.threshold} organisations agreed", shown.where
        )
    walk.organisations |= set(agreeing)
    return shown


def _check_author(walk: _Walk, chain: str, author: str, vote: Shown[Any], made: Shown[Any]) -> None:
    """The author is of the roster, counts among those that agree, and came before the vote."""
    if author not in _roster(walk, chain).organisations or author not in vote.result.agreeing:
        raise Invalid(Check.ROSTER, f"the author {author[:80]!r} is not among those that agreed", made.where)
    if made.proven.number >= vote.proven.number:
        raise Invalid(Check.OUTCOME, "it was accepted before it was there", made.where)


def _roster(walk: _Walk, chain: str) -> EdgeRoster:
    roster = walk.rosters.get(chain)
    if roster is None:
        raise Unverifiable(Check.ROSTER, f"the run has no roster for {chain}")
    return roster
