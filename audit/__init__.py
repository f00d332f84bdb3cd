"""Verification of records, models, rounds, anchors and bundles, for people who trust nobody involved.

``verifier`` holds the rules and does no IO; ``cli`` makes the commands. Names are loaded when they are used,
so that verifying a bundle starts at once.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = [
    "AuditError",
    "AuditState",
    "AuditedSystem",
    "Check",
    "Conflict",
    "ExitCode",
    "Inconclusive",
    "Invalid",
    "Opener",
    "Recomputation",
    "Replayer",
    "Untrusted",
    "Unusable",
    "Unverifiable",
    "Verdict",
    "Verified",
    "audit_anchors",
    "compare",
    "detection_probability",
    "make_apps",
    "make_recompute_app",
    "read_bundle",
    "read_trust",
    "remember",
    "verify_bundle",
]

_HOMES: Final = {
    "anchors": ("compare",),
    "cli": ("make_apps", "make_recompute_app"),
    "errors": (
        "AuditError",
        "Check",
        "Conflict",
        "ExitCode",
        "Inconclusive",
        "Invalid",
        "Unusable",
        "Untrusted",
        "Unverifiable",
    ),
    "live": ("audit_anchors",),
    "ports": ("AuditedSystem", "Opener"),
    "spotcheck": ("Recomputation", "Replayer", "Verdict", "detection_probability"),
    "state": ("AuditState", "remember"),
    "verifier": ("Verified", "read_bundle", "read_trust", "verify_bundle"),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name's module on first use (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
