"""What can go wrong with a network: its description, its programs, its processes, its bring-up.

::

    NetworkError
    ├── TopologyError      a topology file that does not say, consistently, what to bring up
    ├── ProgramMissing     a program of Hyperledger Fabric is not there, or is too old
    ├── IdentityProblem    material of an organisation that is missing, foreign, expired or readable by others
    ├── PortTaken          somebody else listens where a process should
    ├── ProcessFailed      a process that did not start, or ended when it should not
    ├── CommandFailed      one of Fabric's own tools refused; carries the end of what it said
    │   └── CommandTimedOut    it did not end
    ├── NotReady           everything runs, but something did not come about in time
    ├── KeeperError        the keeper of a host's processes cannot be reached, or refused a request
    └── SnapshotError      a snapshot that cannot be made, or does not hold, or does not fit

Every message says what to do where something can be done. None holds key material.
"""

from __future__ import annotations

__all__ = [
    "CommandFailed",
    "CommandTimedOut",
    "IdentityProblem",
    "KeeperError",
    "NetworkError",
    "NotReady",
    "PortTaken",
    "ProcessFailed",
    "ProgramMissing",
    "SnapshotError",
    "TopologyError",
]


class NetworkError(Exception):
    """Root of this room's errors."""


class TopologyError(NetworkError):
    """A topology file that does not say, consistently, what to bring up; names the field."""


class ProgramMissing(NetworkError):
    """A program of Hyperledger Fabric is not there, or is too old."""


class IdentityProblem(NetworkError):
    """Material of an organisation that is missing, foreign, expired or readable by others."""


class PortTaken(NetworkError):
    """Somebody else listens where a process of the network should."""


class ProcessFailed(NetworkError):
    """A process that did not start, or ended when it should not."""


class CommandFailed(NetworkError):
    """One of Fabric's own tools refused; the message has the end of what it said."""


class CommandTimedOut(CommandFailed):
    """One of Fabric's own tools did not end in time."""


class NotReady(NetworkError):
    """Everything runs, but something did not come about in time."""


class KeeperError(NetworkError):
    """The keeper of a host's processes cannot be reached, or refused a request."""


class SnapshotError(NetworkError):
    """A snapshot that cannot be made, does not hold, or does not fit where it should go."""
