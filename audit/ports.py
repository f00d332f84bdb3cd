"""What the commands that look at live chains are handed, by whoever wires the parts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.spotcheck import Replayer
    from ledger.index import ChainIndex
    from ledger.port import Ledger
    from ledger.proofs import Prover
    from protocol.trust import TrustRoot
    from store.port import Store

__all__ = ["AuditedSystem", "Opener"]


@dataclass(frozen=True)
class AuditedSystem:
    """Read access to a deployment's chains and stores.

    Attributes:
        trust: the deployment's own trust root; an auditor who has another one hands that in.
        ledgers: every chain, by id.
        indexes: an element index of every chain.
        prover: makes bundles over them (with a source of data sets' manifests).
        stores: by chain, where its readings and snapshots lie; a chain may have none.
        replayer: recomputes steps in a process of its own; ``None`` where there is none.
    """

    trust: TrustRoot
    ledgers: Mapping[str, Ledger]
    indexes: Mapping[str, ChainIndex]
    prover: Prover
    stores: Mapping[str, Store]
    replayer: Replayer | None


Opener = Callable[[Path | None], AbstractContextManager[AuditedSystem]]
"""Opens the deployment in a folder, or the configured one for ``None``; raises ``audit.errors.Unusable``."""
