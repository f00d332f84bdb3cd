"""What the ceremony can refuse, drawn as a tree.

AccumulatorError
└── CeremonyError
    ├── InvalidSettings      a ceremony that cannot be run or is not safe to run
    ├── Misbehaviour         a party deviated and is named
    ├── Disagreement         the parties' views differ and nobody can be named
    └── InvalidTranscript    a transcript or result that does not hold
"""

from accumulator.errors import AccumulatorError

__all__ = ["CeremonyError", "Disagreement", "InvalidSettings", "InvalidTranscript", "Misbehaviour"]


class CeremonyError(AccumulatorError):
    """Root of this package's errors."""


class InvalidSettings(CeremonyError):
    """A ceremony of this shape cannot be run."""


class Misbehaviour(CeremonyError):
    """A party deviated from the protocol.

    Attributes:
        party: its number, from 1.
        reason: what it did, in words.
        evidence: a message with its signature that shows it to third parties; empty where the broadcasts
            do, or where only the receiver can know.
        everybody_sees: whether every party finds the same by itself.
    """

    def __init__(
        self, party: int, reason: str, evidence: bytes = b"", *, everybody_sees: bool = False
    ) -> None:
        super().__init__(f"party {party} {reason}")
        self.party = party
        self.reason = reason
        self.evidence = evidence
        self.everybody_sees = everybody_sees


class Disagreement(CeremonyError):
    """The parties do not have the same history, and it cannot be told who is at fault."""


class InvalidTranscript(CeremonyError):
    """The transcript or the result does not hold."""
