"""Inferences: a model's application is recorded too (seed 003, section V.B)."""

from __future__ import annotations

import re
from typing import Final

from chaincode import runs
from chaincode.api import GetInference, Inference, PublishedModel, RecordInference, Subject
from chaincode.context import Context
from chaincode.cuts import MAIN
from chaincode.errors import InvalidArgument, NotFound
from chaincode.models import published_key
from chaincode.names import check_digest
from chaincode.outcomes import accepted
from identity import Role

__all__ = ["get", "record"]

_TRANSACTION: Final = re.compile(r"[0-9a-f]{64}")


def _inference_key(transaction: str) -> str:
    return f"inference/{transaction}"


def record(context: Context, message: RecordInference) -> Inference:
    """Record that a model version turned an input into an output. By a gateway, a client or a trainer.

    Raises:
        AccessDenied: another role.
        NotFound: the run, or the version, is neither accepted on nor pushed down to this chain.
        InvalidArgument: not digests, or the version has another model.
    """
    context.require_role(Role.GATEWAY, Role.CLIENT, Role.TRAINER)
    inference = message.inference
    for name in ("model", "input", "output"):
        check_digest(getattr(inference, name), name)
    run = runs.find(context, inference.run)
    if _model(context, run.run, inference.version) != inference.model:
        raise InvalidArgument(f"version {inference.version} of run {run.run} has another model")
    context.write(_inference_key(context.transaction_id), inference)
    return inference


def get(context: Context, message: GetInference) -> Inference:
    """A recorded inference, by the transaction that recorded it.

    Raises:
        InvalidArgument: not a transaction id.
        NotFound: that transaction recorded none.
    """
    if _TRANSACTION.fullmatch(message.transaction) is None:
        raise InvalidArgument("a transaction id is 64 lower-case hex digits")
    key = _inference_key(message.transaction)
    return context.require(Inference, key, f"inference {message.transaction}")


def _model(context: Context, run: str, version: int) -> bytes:
    if context.chain == MAIN:
        outcome = accepted(context, Subject.AGGREGATE, run, version)
        result = outcome.result if outcome else None
    else:
        published = context.read(PublishedModel, published_key(run, version))
        result = published.result if published else None
    if result is None:
        raise NotFound(f"version {version} of run {run} is not usable on {context.chain}")
    return result
