"""What Fabric's tools say in words alone: every mark that is looked for in their output, in one place.

Peers and orderers themselves answer by status; only their command line tools, which end with 1 whatever the
matter, must be read. ``tests/network/test_answers.py`` holds each mark against the real programs' words.
"""

from __future__ import annotations

import re
from typing import Final

from fabric_protos.common import common_pb2

__all__ = ["VERSION", "may_pass", "without_usage"]

VERSION: Final = re.compile(rb"Version:\s*v?(\d+)\.(\d+)\.?(\S*)")
"""Major, minor and the rest, as ``peer version`` and its like print them."""

_USAGE: Final = "\nUsage:"
"""Where a tool's reason ends and the list of its options begins."""

_PASSING: Final = (
    # The orderer has no leader, or does not follow yet.
    f"got unexpected status: {common_pb2.Status.Name(common_pb2.Status.SERVICE_UNAVAILABLE)}",
    # Nobody listens there, or TLS is not agreed on in time: a process that is starting.
    "client failed to connect to",
    "could not send to orderer node",
    # Submitted, and not seen in a block in time.
    "timed out waiting for",
    # The stream of blocks broke off.
    "error receiving from deliver filtered",
    "before txid received",
    # Somebody else's transaction was faster.
    "transaction invalidated with status (MVCC_READ_CONFLICT)",
)


def may_pass(said: str) -> bool:
    """Whether what a ``peer lifecycle`` command ended with can be otherwise a moment later.

    What is not known to pass is taken as final: a refused policy or a bad package stays what it is.
    """
    return any(mark in said for mark in _PASSING)


def without_usage(said: str) -> str:
    """A tool's words without the list of options that it adds to some reasons."""
    return said.partition(_USAGE)[0].strip()
