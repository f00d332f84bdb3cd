"""Rules of the house that no linter checks."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "accumulator", "audit", "chaincode", "edgeproof", "gateway", "identity",
    "ledger", "network", "protocol", "store", "training",
)  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_imported_from_this_checkout(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / room


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import edgeproof.cli", ("torch", "flask", "sklearn", "numpy")),
        # The list of commands: none of them is loaded for it.
        (
            "from typer.testing import CliRunner; from edgeproof.cli import app; "
            "assert 'Export a deployment' in CliRunner().invoke(app, ['--help']).output",
            ("accumulator", "audit", "cryptography", "gateway", "network", "requests"),
        ),
        ("import chaincode.registry", ("torch", "flask", "grpc")),
        ("import gateway.client", ("torch", "flask", "grpc")),
        ("import training", ("torch", "flask")),
        ("import audit.verifier", ("torch", "flask", "grpc")),
        ("import accumulator", ("cryptography", "google", "torch", "flask")),
    ],
)
def test_light_imports_stay_light(statement: str, forbidden: tuple[str, ...]) -> None:
    script = f"import sys; {statement}; print([name for name in {forbidden!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_lock_files_carry_versions_and_hashes_and_no_addresses() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text


def _imports_contract(planted: str, room: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over a copy of the packages with one planted line."""
    import shutil

    for name in ROOMS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / room / "planted.py").write_text(planted + "\n")
    linter = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(linter), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=False,
    )


@pytest.mark.parametrize(
    ("room", "planted", "contract"),
    [
        ("ledger", "import gateway.relay", "rooms depend one way"),
        ("audit", "import training", "rooms depend one way"),
        ("network", "import protocol.merkle", "network uses identity alone"),
        ("ledger/fabric", "import identity.signers", "the Fabric client stands alone"),
        ("ledger/fabric", "import ledger.errors", "the Fabric client stands alone"),
        ("audit", "import torch", "only training imports torch"),
        ("ledger", "import flask", "only the gateway"),
        ("audit", "import accumulator.paper", "unsound forms"),
        ("accumulator", "import cryptography", "number theory alone"),
    ],
)
def test_a_planted_violation_is_caught(room: str, planted: str, contract: str, tmp_path: Path) -> None:
    result = _imports_contract(planted, room, tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [line for line in result.stdout.splitlines() if "BROKEN" in line]
    assert any(contract in line for line in broken), result.stdout


def test_the_network_deploys_the_chaincode_that_blocks_are_read_for() -> None:
    """``network`` and ``protocol`` may not import each other, so the name stands in both."""
    from network.packages import CHAINCODE
    from protocol import elements

    assert elements.CHAINCODE == CHAINCODE
