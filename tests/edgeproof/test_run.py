"""``edgeproof run``, as far as it needs no process; what it starts is followed in the documents' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepared_network import prepared

from edgeproof.commands import run
from edgeproof.deployment import Deployment, Plan


def test_a_network_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, topology = prepared(tmp_path, "dev")
    opened = Deployment.adopt(tmp_path, Plan.of_network(topology))
    operators = [
        topology.select(chain=chain.chain, kind="peer", msp_id=chain.operator)[0]
        for chain in opened.plan.chains
    ]
    monkeypatch.setattr(run, "_listens", lambda port, host: port == operators[0].ports["grpc"])
    assert run._silent_peers(opened) == [f"127.0.0.1:{operators[1].ports['grpc']}"]


def test_the_embedded_ledger_has_no_peers(tmp_path: Path) -> None:
    assert run._silent_peers(Deployment.adopt(tmp_path, Plan.standard(1))) == []
