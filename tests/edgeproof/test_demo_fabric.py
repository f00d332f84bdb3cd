"""The demo on the session's real Fabric network: stopped while its orderer is off, then gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from demo_process import processes_naming, start_demo

from edgeproof.demo.data import load_digits_split, readings_of
from edgeproof.setup import adopt_network
from network import Network
from network.control import Keeper

pytestmark = [pytest.mark.fabric, pytest.mark.faults]

ATTACKS = {
    "replayed reading": 1,
    "the orderer turned off": 1,
    "false training step": 1,
    "altered reading in the store": 1,
    "altered block file": 1,
    "edge's block file rewritten": 1,
    "main's block file rewritten": 1,
    "forged membership (Bézout)": 1,
}


def start(out: Path, network: Network) -> subprocess.Popen[str]:
    sizes = ("--devices", "2", "--rounds", "1")
    return start_demo(out, *sizes, "--ledger", "fabric", "--network", str(network.root))


def left_over(out: Path, network: Network) -> list[str]:
    """Processes of the demo, or of services over the network."""
    return processes_naming(str(out), f"--deployment {network.root}")


def stopped(keeper: Keeper) -> list[str]:
    return [state.name for state in keeper.states() if state.state == "stopped"]


def test_a_demo_stopped_with_the_orderer_off_goes_on_and_finishes(
    tmp_path: Path, fabric_network: Network
) -> None:
    out = tmp_path / "demo"
    adopt_network(fabric_network.root)
    keeper = Keeper(fabric_network.root, "local")
    first = start(out, fabric_network)
    end = time.monotonic() + 400
    while stopped(keeper) == []:
        assert first.poll() is None, first.stdout.read() if first.stdout else ""
        assert time.monotonic() < end
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    text, _ = first.communicate(timeout=120)
    assert first.returncode == 130, text
    assert "goes on from here" in text
    assert left_over(out, fabric_network) == []
    assert stopped(keeper) == []

    second = start(out, fabric_network)
    text, _ = second.communicate(timeout=1200)
    assert second.returncode == 0, text
    assert "Going on" in text
    assert left_over(out, fabric_network) == []
    assert stopped(keeper) == []

    summary = json.loads((out / "summary.json").read_text())
    assert (summary["ledger"], summary["edges"]) == ("fabric", 1)
    assert {attack["name"]: attack["exit_code"] for attack in summary["attacks"]} == ATTACKS
    assert all(attack["caught"] for attack in summary["attacks"])
    # What this demo sent, and at most the reading of each of its two outages, but no other test's.
    sent = sum(len(part) for part in readings_of(load_digits_split(), 2))
    assert sent + 1 <= summary["records"] <= sent + 2
    assert "Hyperledger Fabric" in text
