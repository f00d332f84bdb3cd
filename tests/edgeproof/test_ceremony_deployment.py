"""A deployment whose chains use a ceremony's modulus.

`tests/vectors/ceremony_modulus.json` was made by `edgeproof ceremony run --bits 2048`; no factors were kept.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeproof.ceremony.files import load_modulus
from edgeproof.cli import app
from edgeproof.deployment import Deployment
from edgeproof.errors import CeremonyFailed
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "ceremony_modulus.json"


def test_every_chain_and_the_trust_root_use_the_ceremonys_modulus(tmp_path: Path) -> None:
    root = tmp_path / "deployment"
    made = CliRunner().invoke(
        app, ["init", "--deployment", str(root), "--edges", "1", "--modulus", str(VECTOR)]
    )
    assert made.exit_code == 0, made.output
    modulus = load_modulus(VECTOR).check()
    assert modulus.n.bit_length() == 2048
    deployment = Deployment(root)
    assert deployment.modulus == modulus
    with Parts(deployment, "test") as parts:
        assert parts.parameters("main").modulus == modulus
        trust = export_trust(parts)
    assert {(chain.origin, int.from_bytes(chain.modulus, "big")) for chain in trust.chains} == {
        ("ceremony", modulus.n)
    }


def test_a_deployments_modulus_that_was_changed_afterwards_is_refused(tmp_path: Path) -> None:
    from edgeproof.deployment import Plan

    deployment = Deployment.prepare(tmp_path / "d", Plan.standard(1))
    deployment.keep_modulus(VECTOR)
    deployment.finish()
    path = tmp_path / "d" / "modulus.json"
    n = load_modulus(path).modulus.hex()
    path.write_text(path.read_text().replace(n, n[:-1] + "f"))
    with pytest.raises(CeremonyFailed):
        _ = Deployment(tmp_path / "d").modulus


def test_a_deployment_killed_before_its_plan_begins_without_the_old_modulus(tmp_path: Path) -> None:
    from edgeproof.deployment import Plan

    Deployment.prepare(tmp_path / "d", Plan.standard(1)).keep_modulus(VECTOR)
    again = Deployment.prepare(tmp_path / "d", Plan.standard(1))
    assert again.modulus.origin == "rsa-2048-challenge"
