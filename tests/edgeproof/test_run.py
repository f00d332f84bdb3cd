"""``edgeproof run``, as far as it needs no process; what it starts is followed in the documents' tests."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from prepared_network import prepared

from edgeproof.commands import run
from edgeproof.deployment import Deployment, Plan
from edgeproof.setup import make_deployment
from edgeproof.training_runs import start_run
from edgeproof.wiring import Parts


def test_a_network_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, topology = prepared(tmp_path, "dev")
    opened = Deployment.adopt(tmp_path, Plan.of_network(topology))
    operators = [
        topology.select(chain=chain.chain, kind="peer", msp_id=chain.operator)[0]
        for chain in opened.plan.chains
    ]
    monkeypatch.setattr(run, "_listens", lambda port, host: port == operators[0].ports["grpc"])
    assert run._silent_peers(opened) == [f"127.0.0.1:{operators[1].ports['grpc']}"]


def test_a_run_that_main_does_not_know_is_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = make_deployment(tmp_path, Plan.standard(1))
    assert not run._knows(opened, "tydes")
    monkeypatch.setattr(run, "_AGAIN_S", 0.0)
    run._look_again(opened, "tydes", threading.Event())
    assert "Main knows no run 'tydes'" in capsys.readouterr().out
    with Parts(opened, "test") as parts:
        start_run(parts, "tydes", "logistic", 1, epochs=None, seed=1, deadline=int(time.time() + 3600))
    assert run._knows(opened, "tydes")
    run._look_again(opened, "tydes", threading.Event())
    assert capsys.readouterr().out == ""


def test_the_embedded_ledger_has_no_peers(tmp_path: Path) -> None:
    assert run._silent_peers(Deployment.adopt(tmp_path, Plan.standard(1))) == []
