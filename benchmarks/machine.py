"""What the figures were measured on: processor, memory, versions. No names of hosts or people."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gmpy2
from cryptography.hazmat.backends.openssl import backend

__all__ = ["machine_facts"]

_PACKAGES = ("cryptography", "flask", "gmpy2", "gunicorn", "protobuf", "pydantic")


def machine_facts() -> dict[str, Any]:
    """Facts to print beside the figures.

    ``load_average`` is the machine's at the call: above 0.5 a core before the start, something else ran too.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int((_line("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "gmp": gmpy2.mp_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": backend.openssl_version_text().split(" ")[1],
        "packages": {name: version(name) for name in _PACKAGES},
        "load_average": round(os.getloadavg()[0], 2),
    }


def _line(file: str, key: str) -> str | None:
    """The value of the first ``key : value`` line of a file below /proc, or None."""
    path = Path(file)
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
