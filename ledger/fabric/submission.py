"""Submitting until the outcome is known: read conflicts are tried anew, lost answers are asked for.

A transaction may be handed to the orderers any number of times: its id has an effect once at most (peers mark
a second as DUPLICATE_TXID). So when it is not known whether the orderers took it, the same transaction is
handed over again, and its commit status is asked; a *new* one is made only after this one is known to have
failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import grpc

from .backoff import Backoff, uneven
from .connection import CallOptions
from .endorsers import Endorsers
from .errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    GatewayClosed,
    OutcomeUnknown,
    SubmitError,
)
from .gateway import Contract
from .messages import Argument
from .transactions import Commit, Status, Transaction

__all__ = ["Committed", "Outcomes", "order", "submit_until_committed"]

_WIDEST: Final = 6
"""Contenders for one key spread their next attempts over up to so many times what an attempt takes."""
_BEHIND: Final = Backoff(first=0.05, longest=1.0)
_PLAN_PATIENCE: Final = 5.0
"""Seconds for which a peer that knows of no endorsers at present is asked again."""
_MISMATCHES: Final = 5
"""How often peers may differ: one that is a block behind catches up, a wavering contract does not."""
_ORDERERS: Final = Backoff(first=0.05, longest=1.0)
_ORDERERS_PATIENCE: Final = 5.0
"""Seconds for which orderers that took nothing are asked again: an election takes that long."""
_TOGETHER_SECONDS: Final = 10.0
"""Those who endorsed last are waited for so long, and not longer than half the time that is left."""
_SUBMIT_SECONDS: Final = 5.0
_RESEND_SECONDS: Final = 8.0
"""After this long without a commit a transaction is handed over again: who took it may have died."""
_DOUBTFUL_SECONDS: Final = 0.5
"""The same where it is not known whether the orderers took it at all."""
_OVERDUE_SECONDS: Final = 2.0
"""After this long without news from ``Outcomes`` the peer is asked for the commit status."""
_PASSING: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


@dataclass(frozen=True)
class Committed:
    """A transaction that is valid and in a block."""

    transaction_id: str
    block_number: int
    result: bytes


class Outcomes(Protocol):
    """Learns what becomes of transactions from the channel's blocks, instead of a call for each."""

    def expect(self, transaction_id: str) -> asyncio.Future[Status] | None:
        """What will become of a transaction that is not handed over yet; whoever asked cancels it in the end.

        None where blocks are not seen at present. It is cancelled when they are not seen any more.
        """


async def submit_until_committed(
    contract: Contract,
    transaction_name: str,
    arguments: Sequence[Argument] = (),
    *,
    timeout: float = 30.0,
    attempts: int = 16,
    transient: Mapping[str, bytes] | None = None,
    endorsing_organizations: Sequence[str] = (),
    outcomes: Outcomes | None = None,
    endorsers: Endorsers | None = None,
) -> Committed:
    """Submit, wait, and after a read conflict try again with a new transaction.

    Args:
        contract: whom to call.
        transaction_name: the function.
        arguments: as ``Contract.new_proposal``.
        timeout: seconds for all of it.
        attempts: how many transactions at most; one more where remembered endorsers were not enough.
        transient: as ``Contract.new_proposal``.
        endorsing_organizations: as ``Contract.new_proposal``.
        outcomes: learns of commits in another way than by a call for each.
        endorsers: remembers who endorsed; not used where ``endorsing_organizations`` says who is to, nor
            with ``transient``.

    Raises:
        EndorseError: nothing was recorded; with a mismatch, a refusal by other organisations' peers alone, or
            no known endorsers, after several attempts.
        SubmitError: the orderers did not take it; nothing was recorded.
        CommitError: it is not valid; with a conflict, after the last attempt.
        OutcomeUnknown: the time was up before the commit status could be had.
    """
    deadline = time.monotonic() + timeout
    patient = min(deadline, time.monotonic() + _PLAN_PATIENCE)
    attempt = refusals = 0
    # What is transient goes only to those whom the peer finds: they may have it.
    memory = Endorsers() if endorsers is None or endorsing_organizations or transient else endorsers
    while True:
        remembered = memory.known
        proposal = contract.new_proposal(
            transaction_name,
            arguments,
            transient=transient,
            endorsing_organizations=endorsing_organizations or remembered,
        )
        try:
            left = _left(deadline)
            # The rest is for those whom the peer finds instead.
            patience = min(_TOGETHER_SECONDS, left / 2) if remembered else left
            transaction = await proposal.endorse(CallOptions(timeout=patience))
        except EndorseError as error:
            if memory.forget(remembered, error) and time.monotonic() < deadline:
                continue
            refusals += 1
            pause = _BEHIND.pause(refusals)
            again = time.monotonic() + pause
            # One's own peer is asked too: where it does not refuse, another may lack a block that it has.
            is_behind = error.is_mismatch or (
                not endorsing_organizations and error.is_refused_elsewhere(contract.msp_id)
            )
            if not (
                (is_behind and refusals < _MISMATCHES and again < deadline)
                or (error.is_unplanned and again < patient)
            ):
                raise
            await asyncio.sleep(pause)
            continue
        attempt += 1
        begun = time.monotonic()
        status = await order(transaction, deadline, outcomes)
        if status.successful:
            memory.learn(transaction)
            return Committed(status.transaction_id, status.block_number, transaction.get_result())
        failure = CommitError(status.code, status.transaction_id, status.block_number)
        if remembered and failure.is_policy_failure:
            memory.give_up()
            if time.monotonic() < deadline:
                continue
        # Of those who meet in a block one wins: who comes back within a block's time meets the same ones.
        took = time.monotonic() - begun
        pause = uneven(0, took * min(attempt, _WIDEST))
        if not failure.is_conflict or attempt >= attempts or time.monotonic() + pause >= deadline:
            raise failure
        await asyncio.sleep(pause)


async def order(transaction: Transaction, deadline: float, outcomes: Outcomes | None = None) -> Status:
    """Hand a transaction to the orderers and wait until it stands in a block, valid or not.

    Args:
        transaction: endorsed.
        deadline: by ``time.monotonic``.
        outcomes: as ``submit_until_committed``.

    Raises:
        SubmitError: the orderers did not take it; nothing was recorded.
        OutcomeUnknown.
    """
    expected = outcomes.expect(transaction.transaction_id) if outcomes is not None else None
    try:
        return await _order(transaction, deadline, expected)
    finally:
        if expected is not None:
            expected.cancel()


async def _order(
    transaction: Transaction, deadline: float, expected: asyncio.Future[Status] | None
) -> Status:
    doubt = await _hand_over(transaction, deadline)
    commit = transaction.submitted()
    patience = _DOUBTFUL_SECONDS if doubt else _RESEND_SECONDS
    failures = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _unknown(transaction, "its commit status could not be had in time", doubt)
        try:
            return await _status(commit, expected, min(left, patience))
        except CommitStatusError as error:
            if error.code in _PASSING:
                failures += 1
                await asyncio.sleep(min(max(0.0, left), _ORDERERS.pause(failures)))
            elif error.code != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _unknown(transaction, "its commit status is refused", doubt) from error
        except GatewayClosed as error:
            raise _unknown(transaction, "the gateway was closed meanwhile", doubt) from error
        patience = min(2 * patience, _RESEND_SECONDS)
        try:
            await transaction.submit(CallOptions(timeout=_left(deadline, _SUBMIT_SECONDS)))
            doubt = None
        except SubmitError as error:
            # An earlier handing over may have worked: only the commit status says. What the orderers said
            # stands where this one merely ran out of time.
            doubt = doubt if doubt is not None and error.is_unreachable else error
        except GatewayClosed as error:
            raise _unknown(transaction, "the gateway was closed meanwhile", doubt) from error


async def _status(commit: Commit, expected: asyncio.Future[Status] | None, timeout: float) -> Status:
    if expected is not None:
        await asyncio.wait((expected,), timeout=min(timeout, _OVERDUE_SECONDS))
        if expected.done() and not expected.cancelled():
            return expected.result()
        timeout = max(0.001, timeout - _OVERDUE_SECONDS)
    return await commit.get_status(CallOptions(timeout=timeout))


async def _hand_over(transaction: Transaction, deadline: float) -> SubmitError | None:
    """Submit; None: the orderers said that they have it. After an error they may have it all the same."""
    give_up = min(deadline, time.monotonic() + _ORDERERS_PATIENCE)
    failures = 0
    while True:
        try:
            await transaction.submit(CallOptions(timeout=_left(deadline, _SUBMIT_SECONDS)))
        except SubmitError as error:
            if not error.is_definite:
                return error
            failures += 1
            pause = _ORDERERS.pause(failures)
            if error.is_refused or time.monotonic() + pause >= give_up:
                raise
            await asyncio.sleep(pause)
        else:
            return None


def _left(deadline: float, most: float = float("inf")) -> float:
    return max(0.001, min(most, deadline - time.monotonic()))


def _unknown(transaction: Transaction, why: str, doubt: SubmitError | None) -> OutcomeUnknown:
    """Not knowing for ``why``; whoever asks why nothing came of it is told what the orderers said last."""
    identifier = transaction.transaction_id
    said = "" if doubt is None else f"; of handing it over the last time the peer said: {doubt.message}"
    return OutcomeUnknown(
        f"transaction {identifier} was handed to the orderers: {why}{said}",
        transaction_id=identifier,
        details=() if doubt is None else doubt.details,
    )
