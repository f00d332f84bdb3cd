"""Fabric's own programs: ``FABRIC_BIN``, then PATH. Tests that find none are skipped aloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def tool(name: str) -> str:
    """Path of a program; skips the test, and says so, where it is missing."""
    folder = os.environ.get("FABRIC_BIN")
    found = shutil.which(name, path=folder) if folder else None
    found = found or shutil.which(name)
    if found is None:
        pytest.skip(f"Fabric's {name} is neither in FABRIC_BIN nor on PATH")
    return found


def decode(kind: str, raw: bytes) -> Any:
    """What ``configtxlator proto_decode`` makes of ``raw``, as JSON."""
    program = tool("configtxlator")
    done = subprocess.run(
        [program, "proto_decode", "--type", kind, "--input", "/dev/stdin"],
        input=raw,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def generate(folder: Path, profile: str) -> bytes:
    """Block 0 that ``configtxgen`` makes of ``folder/configtx.yaml``."""
    program = tool("configtxgen")
    out = folder / "genesis.block"
    done = subprocess.run(
        [
            program,
            "-profile",
            profile,
            "-channelID",
            "fabric",
            "-outputBlock",
            str(out),
            "-configPath",
            str(folder),
        ],
        capture_output=True,
        cwd=folder,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return out.read_bytes()


def inspect(path: Path) -> Any:
    """What ``configtxgen -inspectBlock`` prints, as JSON."""
    program = tool("configtxgen")
    done = subprocess.run([program, "-inspectBlock", str(path)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
