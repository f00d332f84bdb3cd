"""Every measurement at tiny sizes: shapes, and formulas that hold whatever the machine does."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import MEASUREMENTS, main
from benchmarks.accumulator_cost import measure_accumulator_cost
from benchmarks.errors import MeasurementFailed
from benchmarks.machine import machine_facts
from benchmarks.proofs import measure_proofs
from benchmarks.render import render
from benchmarks.rest import measure_rest
from benchmarks.scale import FULL, QUICK
from benchmarks.table1 import PAPER, measure_table1

SCALE = replace(QUICK, repeats=1)


def ordered(row: dict[str, Any]) -> bool:
    return 0 < row["p50_s"] <= row["p95_s"] <= row["p99_s"] <= row["max_s"] and row["failed"] == 0


def test_table_1() -> None:
    lines: list[str] = []
    result = measure_table1(SCALE, lines.append)
    assert [row["bytes"] for row in result["closed"]] == list(SCALE.sizes)
    assert all(ordered(row) and row["count"] == 10 for row in result["closed"])
    closed = {row["bytes"]: row["tx_per_s"] for row in result["closed"]}
    for row in result["open"]:
        assert row["offered_per_s"] == pytest.approx(closed[row["bytes"]] * row["share"])
        assert ordered(row)
    assert {row["bytes"] for row in result["paper"]} == set(FULL.sizes) == set(PAPER)
    assert len(lines) == 4


def test_accumulator_cost() -> None:
    result = measure_accumulator_cost(SCALE, lambda line: None)
    assert [row["range"] for row in result["rows"]] == list(SCALE.ranges)
    for row in result["rows"]:
        parts = ("element_and_tree", "hash_to_prime", "accumulate", "signature")
        assert row["total"] == pytest.approx(sum(row[part] for part in parts))
        # A primality test of 256 bits takes longer than this anywhere: the answers were not remembered.
        assert row["hash_to_prime"] > 0.02


def test_rest() -> None:
    result = measure_rest(SCALE, lambda line: None)
    single, empty = result["single"], result["empty"]
    assert ordered(single)
    assert ordered(empty)
    assert result["single_to_empty"] == pytest.approx(single["tx_per_s"] / empty["tx_per_s"])
    (batch,) = result["batches"]
    assert batch["readings_per_s"] == pytest.approx(batch["tx_per_s"] * batch["batch"])
    assert 1 <= result["single_readings_per_transaction"] <= SCALE.single_requests
    assert 1 <= result["burst"]["transactions"] <= result["burst"]["transactions_max"] <= SCALE.burst
    assert 0 < result["idle"]["median_ms"] <= result["idle"]["p95_ms"] <= result["idle"]["max_ms"]
    assert result["signature_checks"] == 3


def test_proofs() -> None:
    result = measure_proofs(SCALE, lambda line: None)
    compact, full = result["bundle"]
    assert (compact["profile"], full["profile"]) == ("compact", "full")
    assert compact["bytes"] < full["bytes"]
    for row in (compact, full, *result["lengths"]):
        assert row["prove_warm_ms"] > 0
        assert row["prove_cold_ms"] > 0
    short, long = result["lengths"]
    assert SCALE.lengths[0] <= short["elements"] < long["elements"]
    # Signatures of the round before may come before a cut or after it: a few elements either way.
    assert abs(short["anchor_range"] - long["anchor_range"]) <= 6
    many = result["memberships"]
    assert many["count"] == SCALE.memberships
    assert min(many["aggregate_ms"], many["one_by_one_ms"]) > 0


def made_up() -> dict[str, Any]:
    row = {"tx_per_s": 123.4, "avg_s": 0.1, "p50_s": 0.2, "p95_s": 0.3, "p99_s": 0.4, "max_s": 0.5}
    row |= {"failed": 0, "client_cpu_share": 0.25, "gateway_cpu_share": 0.75, "gateway_cpu_ms_each": 1.5}
    scale = {"name": "full", "repeats": 5}
    common = {"machine": machine_facts() | {"load_average": 0.0}, "scale": scale}
    return {
        "table1": common
        | {
            "clients": 10,
            "each": 100,
            "closed": [{"bytes": 8192, **row}],
            "open": [{"bytes": 8192, "share": 0.5, "offered_per_s": 61.7, **row}],
            "paper": [{"bytes": 8192, **PAPER[8192]}],
        },
        "accumulator_cost": common
        | {
            "paper_ms": 100.0,
            "rows": [
                {"range": 10, "element_and_tree": 0.01, "hash_to_prime": 0.2, "accumulate": 0.3}
                | {"signature": 0.0004, "total": 0.5104, "append_only_prove": 5.0, "append_only_verify": 1.0}
            ],
        },
    }


def test_the_page_shows_the_files_figures_and_nothing_of_missing_files() -> None:
    page = render(made_up())
    assert "| 8 KiB | 123 | 0.10 | 0.20 | 0.30 | 0.40 | 0.50 | 173 | 0.41 | 0.70 |" in page
    assert "| 8 KiB | 50 % | 62 | 123 |" in page
    assert "| 10 | 0.010 | 0.200 | 0.300 | < 0.001 | **0.510** | 100 | 5.0 | 1.0 |" in page
    assert "## Readings through REST" not in page
    assert "failed" not in page
    assert "busy" not in page


def test_the_page_says_what_was_wrong() -> None:
    results = made_up()
    results["table1"]["closed"][0]["failed"] = 3
    results["table1"]["machine"] = machine_facts() | {"load_average": 9.5}
    results["accumulator_cost"]["scale"] = {"name": "quick", "repeats": 2}
    page = render(results)
    assert "**3 transactions failed.**" in page
    assert "load 9.5 at the start" in page
    assert "Tiny sizes" in page


def test_machine_facts_name_no_host() -> None:
    assert socket.gethostname() not in json.dumps(machine_facts())


def test_command_writes_files_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path / "out"), "--docs", str(tmp_path / "page.md")]
    assert main(["--quick", "--repeats", "1", "--only", "accumulator_cost", *arguments]) == 0
    written = json.loads((tmp_path / "out" / "accumulator_cost.json").read_text())
    assert (written["name"], written["scale"]["repeats"]) == ("accumulator_cost", 1)
    assert "accumulator_cost: an anchor of 4 transactions" in capsys.readouterr().out
    page = (tmp_path / "page.md").read_text()
    (tmp_path / "page.md").unlink()
    assert main(["--render", *arguments]) == 0
    assert (tmp_path / "page.md").read_text() == page


def test_tiny_figures_do_not_reach_the_committed_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--quick", "--repeats", "1", "--only", "accumulator_cost"]) == 0
    assert not (tmp_path / "docs").exists()


def test_a_failed_measurement_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(scale: object, say: object) -> dict[str, Any]:
        raise MeasurementFailed("the gateway died meanwhile")

    monkeypatch.setattr("benchmarks.__main__.MEASUREMENTS", {**MEASUREMENTS, "rest": fail})
    arguments = ["--out", str(tmp_path), "--docs", str(tmp_path / "page.md")]
    assert main(["--quick", "--only", "rest", *arguments]) == 1
    assert "the gateway died meanwhile" in capsys.readouterr().err
    assert not (tmp_path / "rest.json").exists()
