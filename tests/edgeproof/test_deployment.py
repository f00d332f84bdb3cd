from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edgeproof.deployment import Deployment, Plan
from edgeproof.errors import DeploymentError
from identity import Role


def test_a_plan_has_main_and_three_organisations_an_edge() -> None:
    plan = Plan.standard(3)
    assert [chain.chain for chain in plan.chains] == ["main", "edge-a", "edge-b", "edge-c"]
    assert [len(chain.organisations) for chain in plan.chains] == [2, 3, 3, 3]
    every = [name for chain in plan.chains for name in chain.organisations]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("edges", [0, 27, -1])
def test_an_impossible_plan_is_refused(edges: int) -> None:
    with pytest.raises(DeploymentError, match="1 to 26"):
        Plan.standard(edges)


def test_prepare_then_finish_makes_a_deployment_that_opens(tmp_path: Path) -> None:
    root = tmp_path / "deployment"
    Deployment.prepare(root, Plan.standard(1)).finish()
    deployment = Deployment(root)
    signer = deployment.signer("edge-a-owner", Role.TRAINER)
    assert (signer.msp_id, signer.role) == ("edge-a-owner", Role.TRAINER)
    keys = [path for path in root.rglob("*.pem") if b"PRIVATE" in path.read_bytes()]
    assert keys
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_a_half_made_folder_is_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "deployment"
    Deployment.prepare(root, Plan.standard(1))
    assert not Deployment.exists(root)
    Deployment.prepare(root, Plan.standard(1)).finish()
    assert Deployment.exists(root)


def test_a_finished_deployment_is_never_overwritten(tmp_path: Path) -> None:
    Deployment.prepare(tmp_path / "d", Plan.standard(1)).finish()
    with pytest.raises(DeploymentError, match="already holds"):
        Deployment.prepare(tmp_path / "d", Plan.standard(1))


def test_a_network_is_left_alone(tmp_path: Path) -> None:
    """Finished, made but never started, or nothing yet but identities that an organisation brings."""
    key = tmp_path / "identities" / "someone" / "msp" / "cacerts" / "root.pem"
    key.parent.mkdir(parents=True)
    key.touch()
    with pytest.raises(DeploymentError, match="not empty"):
        Deployment.prepare(tmp_path, Plan.standard(1))
    (tmp_path / "topology.yaml").touch()
    with pytest.raises(DeploymentError, match="already holds a network"):
        Deployment.prepare(tmp_path, Plan.standard(1))
    assert key.exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DeploymentError, match="not empty"):
        Deployment.prepare(tmp_path, Plan.standard(1))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema":1}', b"\xff"])
def test_a_damaged_plan_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "deployment.json").write_bytes(content)
    with pytest.raises(DeploymentError, match="cannot be read"):
        Deployment(tmp_path)


def test_a_missing_deployment_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="edgeproof init"):
        Deployment(tmp_path / "none")


def test_an_unknown_chain_names_those_there_are() -> None:
    with pytest.raises(DeploymentError, match="main, edge-a, edge-b"):
        Plan.standard(2).chain("edge-z")
