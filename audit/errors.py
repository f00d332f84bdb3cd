"""Errors of the audit room: every refusal names its check and carries the exit code that it earns.

AuditError
├── Invalid                  the evidence contradicts itself, a rule or the trust root     exit 1
│   └── Conflict             two signed statements that cannot both be honest: evidence    exit 1
├── Unusable                 the caller's own files or arguments                           exit 2
├── Unverifiable             something that is needed is not there (yet)                   exit 3
├── Untrusted                signed by a key, or begun by a block, of which the trust root
│                            knows nothing: another deployment's, or a stranger's          exit 4
└── Inconclusive             everything was checked, and it settles nothing                exit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import ClassVar

from protocol.anchors import SignedStatement

__all__ = [
    "AuditError",
    "Check",
    "Conflict",
    "ExitCode",
    "Inconclusive",
    "Invalid",
    "Untrusted",
    "Unusable",
    "Unverifiable",
    "failing",
]


class ExitCode(IntEnum):
    """Exit codes of every audit command."""

    VERIFIED = 0
    INVALID = 1
    USAGE = 2
    UNVERIFIABLE = 3
    UNTRUSTED = 4
    INCONCLUSIVE = 5


class Check(StrEnum):
    """The checks by their stable names; scripts may rely on them."""

    CANONICAL = "canonical"
    """The file is canonical JSON."""
    SCHEMA = "schema"
    """The JSON is a bundle of this version, its lists sorted and without repetition."""
    TRUST = "trust"
    """The trust root itself holds together and names the chains that the bundle speaks of."""
    SUBJECT = "subject"
    """What the bundle claims to show, and what it shows first, are one."""
    MISSING = "missing"
    """Every part that another part refers to is in the bundle."""
    UNUSED = "unused"
    """Nothing is in the bundle that its subject does not need."""
    RECORD_ID = "record-id"
    DEVICE_SIGNATURE = "device-signature"
    DEVICE_ENROLMENT = "device-enrolment"
    DELEGATION = "delegation"
    CONTENT = "content"
    BATCH_PATH = "batch-path"
    ELEMENT = "element"
    """An element has the payload, the validity and the place that its use asks for."""
    MEMBERSHIP = "membership"
    PARAMETERS = "parameters"
    ANCHOR_SIGNATURE = "anchor-signature"
    ANCHOR_LINKAGE = "anchor-linkage"
    MAIN_ANCHOR = "main-anchor"
    HOLDING_BLOCK = "holding-block"
    BLOCK_LINKAGE = "block-linkage"
    """A chain's blocks follow one another, and each header binds its block's data."""
    CONFIGURATION = "configuration"
    """Each block is checked under the configuration in force, each configuration under the one before."""
    BLOCK_SIGNATURE = "block-signature"
    ENDORSEMENT = "endorsement"
    ENVELOPE = "envelope"
    CHECKPOINT = "checkpoint"
    CONFLICT = "conflict"
    ROLLBACK = "rollback"
    MAX_AGE = "max-age"
    STATE = "state"
    RUN = "run"
    STEP = "step"
    OUTCOME = "outcome"
    ROSTER = "roster"
    AGGREGATE = "aggregate"
    DATA_SET = "data-set"
    SPOT_CHECK = "spot-check"
    PENDING = "pending"
    LEDGER = "ledger"
    USAGE = "usage"
    INTERNAL = "internal"
    """The verifier itself failed: neither for nor against the evidence."""


class AuditError(Exception):
    """Root of this room's errors.

    Attributes:
        check: the check that refuses.
        where: the part at fault, as a path into the bundle or a name; may be empty.
        why: one line for people.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INVALID

    def __init__(self, check: Check, why: str, where: str = "") -> None:
        super().__init__(f"{check.value}: {where + ': ' if where else ''}{why}")
        self.check = check
        self.where = where
        self.why = why


class Invalid(AuditError):
    """The evidence contradicts itself, a rule of the system, or the trust root."""


class Conflict(Invalid):
    """Two statements with one chain and number: evidence against whoever signed both."""

    def __init__(
        self, check: Check, why: str, evidence: tuple[SignedStatement, ...], where: str = ""
    ) -> None:
        super().__init__(check, why, where)
        self.evidence = evidence


class Unusable(AuditError):
    """A file or an argument of the caller's own that cannot be used."""

    exit_code = ExitCode.USAGE


class Unverifiable(AuditError):
    """Something that is needed is missing, pending, out of reach or too old."""

    exit_code = ExitCode.UNVERIFIABLE


class Untrusted(AuditError):
    """A signature by a key that the trust root does not name, or a chain of another genesis block."""

    exit_code = ExitCode.UNTRUSTED


class Inconclusive(AuditError):
    """Everything was checked, and it settles nothing."""

    exit_code = ExitCode.INCONCLUSIVE


@contextmanager
def failing(check: Check, *kinds: type[Exception], where: str = "") -> Iterator[None]:
    """Turn the given foreign errors into ``Invalid`` under ``check``."""
    try:
        yield
    except kinds as error:
        raise Invalid(check, str(error) or type(error).__name__, where) from error
