"""Errors of the composition root.

EdgeproofError
├── DeploymentError       a deployment folder that is missing, foreign or damaged
├── CeremonyFailed        a ceremony that was aborted, or a transcript or modulus that does not hold
└── DemoError             a phase of the demo that did not come out as it must
"""

from __future__ import annotations

__all__ = ["CeremonyFailed", "DemoError", "DeploymentError", "EdgeproofError"]


class EdgeproofError(Exception):
    """Root of this room's errors."""


class DeploymentError(EdgeproofError):
    """A deployment folder that is missing, foreign or damaged."""


class CeremonyFailed(EdgeproofError):
    """A ceremony that was aborted, or a transcript or modulus that does not hold."""


class DemoError(EdgeproofError):
    """A phase of the demo that did not come out as it must."""
