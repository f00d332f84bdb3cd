"""Who endorses: remembered from one transaction to the next."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import EndorseError, read_response
from .transactions import Transaction

__all__ = ["Endorsers"]


class Endorsers:
    """Who endorsed last: they are asked together, until one of them fails; then the peer finds others.

    Left to itself a peer runs the call first, works out who else could endorse it, and asks them only then.
    For the calls of one contract by one event loop.
    """

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._is_given_up = False

    @property
    def known(self) -> tuple[str, ...]:
        """MSP ids of those to ask; empty where the peer is to find them."""
        return self._known

    def learn(self, transaction: Transaction) -> None:
        """They endorsed a transaction that is valid."""
        endorsers = transaction.get_endorsers()
        # By name one peer an organisation is asked, so a policy that wants two of one is left to the peer.
        if not self._is_given_up and len(set(endorsers)) == len(endorsers):
            self._known = endorsers

    @staticmethod
    def are_replaceable(asked: Sequence[str], error: EndorseError) -> bool:
        """Whether a call that failed may yet be endorsed by others than those who were asked together.

        A refusal by the contract stands where all of them gave it. One of a few may lack a block that the
        others have; a peer that finds endorsers itself begins with its own organisation's.
        """
        refusals = sum(read_response(detail.message) is not None for detail in error.details)
        return not error.is_mismatch and refusals < len(asked)

    def forget(self) -> None:
        """One of them did not endorse."""
        self._known = ()

    def give_up(self) -> None:
        """They were not enough: some keys or calls want others, so that none are remembered any more."""
        self._known, self._is_given_up = (), True
