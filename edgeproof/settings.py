"""Settings: the only module that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """What the environment decides; options on the command line go before it."""

    deployment: Path
    """``EDGEPROOF_DEPLOYMENT``: the deployment folder, default ``build/deployment``."""
    log_level: str
    """``EDGEPROOF_LOG_LEVEL``: empty where not set."""
    fabric_bin: Path | None
    """``FABRIC_BIN``: folder of Hyperledger Fabric's programs; None: they are on PATH."""
    failpoint: str
    """``EDGEPROOF_FAILPOINT``: where the process kills itself (tests; ``edgeproof.faults``)."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read ``environment`` (default: the process's own)."""
        values = os.environ if environment is None else environment
        return cls(
            deployment=Path(values.get("EDGEPROOF_DEPLOYMENT", "build/deployment")),
            log_level=values.get("EDGEPROOF_LOG_LEVEL", "").upper(),
            fabric_bin=Path(values["FABRIC_BIN"]) if values.get("FABRIC_BIN") else None,
            failpoint=values.get("EDGEPROOF_FAILPOINT", ""),
        )
