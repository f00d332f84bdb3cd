"""Model versions: aggregates on main, and accepted ones pushed down to the edges."""

from __future__ import annotations

from dataclasses import dataclass

from chaincode import runs
from chaincode.api import (
    AggregateInput,
    Attest,
    CommitModel,
    CrossChainProof,
    GetModel,
    GetPublished,
    ModelVersion,
    Outcome,
    PublishedModel,
    PublishModel,
    Run,
    Subject,
)
from chaincode.context import Context
from chaincode.crosschain import proved_result
from chaincode.cuts import MAIN
from chaincode.errors import AlreadyExists, BadCrossChainProof, Conflict, InvalidArgument, NotFound
from chaincode.names import check_digest
from chaincode.outcomes import check_next_attempt, check_proved, newest_attempt, subject_key
from chaincode.steps import parent_of
from identity import Role
from protocol.commitments import aggregate_commitment, recipe_digest

__all__ = ["commit", "get", "get_published", "publish", "published_key"]


@dataclass(frozen=True)
class _Newest:
    """The newest published version, under ``published-newest/<run>``."""

    version: int


def published_key(run: str, version: int) -> str:
    """State key of a published version on an edge."""
    return f"published/{run}/{version}"


def _newest_key(run: str) -> str:
    return f"published-newest/{run}"


def commit(context: Context, message: CommitModel) -> ModelVersion:
    """Commit an aggregate of every edge's accepted step of the round.

    On main, by an aggregator of an organisation of the run's main roster.

    Raises:
        Conflict: on an edge, before the version before is accepted, or while the attempt before stands.
        NotFound: the run does not exist, or an edge's anchor is not held here.
        AccessDenied: not an aggregator of the roster, or for another organisation.
        DeadlinePassed: by the transaction's time.
        InvalidArgument: a version outside the run, inputs that are not exactly the run's edges in order, a
            parent that is not the accepted version before, or a commitment that does not follow.
        AlreadyExists, Gap: the attempt is not the next one.
        UnknownSource, StaleAnchor, BadCrossChainProof: an input is not proved.
    """
    model = message.model
    if context.chain != MAIN:
        raise Conflict("models are committed on main")
    run = runs.find(context, model.run)
    runs.roster_here(context, run, Role.AGGREGATOR, model.author)
    runs.check_deadline(context, run)
    if not 1 <= model.version <= run.rounds:
        raise InvalidArgument(f"run {run.run} has versions 1 to {run.rounds}")
    check_next_attempt(context, Subject.AGGREGATE, run.run, model.version, model.attempt)
    if model.parent != parent_of(context, Subject.AGGREGATE, run, model.version):
        raise InvalidArgument(f"the parent is not the accepted version {model.version - 1}")
    edges = [roster.chain for roster in run.rosters if roster.chain != MAIN]
    if [entry.chain for entry in model.inputs] != edges or len(message.proofs) != len(edges):
        raise InvalidArgument("inputs and proofs are one for each edge of the run, in the run's order")
    for entry, proof in zip(model.inputs, message.proofs, strict=True):
        _check_input(context, run, model.version, entry, proof)
    _check_commitment(run, model)
    context.write(subject_key(Subject.AGGREGATE, model.run, model.version, model.attempt), model)
    return model


def get(context: Context, message: GetModel) -> ModelVersion:
    """A committed version; attempt 0 asks for the newest.

    Raises:
        NotFound: the run or the version is not known here.
    """
    run = runs.find(context, message.run)
    attempt = message.attempt or newest_attempt(context, Subject.AGGREGATE, run.run, message.version)
    key = subject_key(Subject.AGGREGATE, run.run, message.version, attempt)
    return context.require(ModelVersion, key, f"version {run.run}/{message.version}/{attempt}")


def publish(context: Context, message: PublishModel) -> PublishedModel:
    """Take over an accepted version from main. On an edge of the run; anybody of the chain carries it.

    Raises:
        Conflict: on main itself.
        UnknownSource, NotFound, StaleAnchor, BadCrossChainProof: the acceptance is not proved, or the run is
            not adopted here.
        AlreadyExists: the version is published already.
    """
    if context.chain == MAIN:
        raise Conflict("models are published on the edges")
    outcome: Outcome = proved_result(context, message.proof, MAIN, Attest)
    run = runs.find(context, outcome.run)
    check_proved(outcome, Subject.AGGREGATE, run.run, outcome.number, runs.roster_of(run, MAIN))
    key = published_key(run.run, outcome.number)
    if context.state.get(key) is not None:
        raise AlreadyExists(f"version {outcome.number} of run {run.run} is published already")
    published = PublishedModel(run=run.run, version=outcome.number, result=outcome.result)
    context.write(key, published)
    newest = context.read(_Newest, _newest_key(run.run))
    if newest is None or newest.version < published.version:
        context.write(_newest_key(run.run), _Newest(published.version))
    return published


def get_published(context: Context, message: GetPublished) -> PublishedModel:
    """A published version; version 0 asks for the newest.

    Raises:
        NotFound: the run or the version is not known here.
    """
    run = runs.find(context, message.run)
    version = message.version
    if version == 0:
        newest = context.read(_Newest, _newest_key(run.run))
        if newest is None:
            raise NotFound(f"no version of run {run.run} is published on {context.chain}")
        version = newest.version
    return context.require(
        PublishedModel, published_key(run.run, version), f"version {version} of run {run.run}"
    )


def _check_input(
    context: Context, run: Run, version: int, entry: AggregateInput, proof: CrossChainProof
) -> None:
    outcome: Outcome = proved_result(context, proof, entry.chain, Attest)
    check_proved(outcome, Subject.STEP, run.run, version, runs.roster_of(run, entry.chain))
    proved = AggregateInput(
        chain=entry.chain,
        number=outcome.number,
        attempt=outcome.attempt,
        commitment=outcome.commitment,
        result=outcome.result,
        examples=outcome.examples,
    )
    if entry != proved:
        raise BadCrossChainProof(f"the input of {entry.chain} is not what that chain accepted")


def _check_commitment(run: Run, model: ModelVersion) -> None:
    check_digest(model.result, "result")
    runs.check_environment(model.environment)
    expected = aggregate_commitment(
        result=model.result,
        parent=model.parent,
        inputs=model.inputs,
        recipe=recipe_digest(run.recipe),
        version=model.version,
        run=model.run,
    )
    if model.commitment != expected:
        raise InvalidArgument("the commitment does not follow from the model version")
