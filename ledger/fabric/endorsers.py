"""Who endorses: remembered from one transaction to the next."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from .errors import EndorseError, MalformedMessage, read_response
from .transactions import Transaction

__all__ = ["Endorsers"]


class Endorsers:
    """Who endorsed last: they are asked together, until one of them fails; then the peer finds others.

    Left to itself a peer runs the call first, works out who else could endorse it, and asks them only then
    (Fabric 3.1.5, internal/pkg/gateway/endorse.go, planFromFirstEndorser). For the calls of one contract by
    one event loop. Once they were not enough, it remembers nobody any more.
    """

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._slow: tuple[str, ...] = ()
        self._is_given_up = False

    @property
    def known(self) -> tuple[str, ...]:
        """MSP ids of those to ask; empty where the peer is to find them."""
        return self._known

    def learn(self, transaction: Transaction) -> None:
        """They endorsed a transaction that is valid."""
        try:
            endorsers = tuple(sorted(transaction.get_endorsers()))
        except MalformedMessage:
            return  # who signed with what is no identity cannot be named
        # By name one peer an organisation is asked, so a policy that wants two of one is left to the peer.
        is_named_once = len(set(endorsers)) == len(endorsers)
        if is_named_once and endorsers != self._slow and not self._is_given_up:
            self._known = endorsers

    def forget(self, asked: Sequence[str], error: EndorseError) -> bool:
        """Those who were asked together did not all endorse.

        A refusal by the contract stands where all of them gave it. One of a few may lack a block that the
        others have; a peer that finds endorsers itself begins with its own organisation's.

        Args:
            asked: their MSP ids; empty where the peer had found whom to ask.
            error: what came of it.

        Returns:
            Whether others may yet endorse the call.
        """
        refused = {detail.msp_id for detail in error.details if read_response(detail.message) is not None}
        if set(asked) <= refused or error.is_too_large or error.is_busy:
            return False
        if self._known == tuple(asked):  # others may have been learnt meanwhile
            self._known = ()
        if error.code == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._slow = tuple(asked)  # else calls that take long would be cut short every other time
        return True

    def give_up(self) -> None:
        """They were not enough: some keys or calls want others, so that none are remembered any more."""
        self._known, self._is_given_up = (), True
