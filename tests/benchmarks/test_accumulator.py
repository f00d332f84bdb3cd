"""The accumulator's benchmark at tiny sizes: shapes, and what holds whatever the machine does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from accumulator import Parameters, default_parameters
from accumulator.group import Group
from accumulator.native import NativeGroup
from benchmarks.accumulator import LibraryParameters, measure, render
from benchmarks.membership_service import measure_chain_length, measure_service
from benchmarks.paper_protocols import render_paper

PEER = """
import sys
times = {"hash_to_prime": 0.5, "accumulate": 10, "witness": 20, "accumulate_from_anchor": 30}
print(times[sys.argv[1]]) if sys.argv[1] in times else sys.exit(3)
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    script = tmp_path_factory.mktemp("peer") / "peer.py"
    script.write_text(PEER)
    return measure(1, small=100, large=120, chain=1000, peers={"other": [sys.executable, str(script)]})


def test_every_operation_is_timed_and_compared(result: dict) -> None:
    assert all(ms > 0 for ms in result["cpu_ms"].values())
    assert {"accumulate_100", "all_witnesses_120", "append_only_verify"} <= result["cpu_ms"].keys()
    if isinstance(default_parameters("edge-a").group, NativeGroup):
        assert result["kernel_cpu_ms"].keys() == result["cpu_ms"].keys()
        assert result["wall_ms"].keys() == {"library", "kernel"}
    else:
        assert result["kernel_cpu_ms"] == {}
        assert result["wall_ms"].keys() == {"library"}
    peers = result["peers_cpu_ms"]
    assert peers["accumulate_100"] == {"other": 10}
    assert peers["accumulate_100_from_anchor"] == {"other": 30}
    assert peers["witness_120_from_anchor"] == {"other": 20}  # it knows the plain one alone
    assert "all_witnesses_100" not in peers


def test_the_page_shows_the_files_figures(result: dict) -> None:
    page = render(result)
    for name, ms in result["cpu_ms"].items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.split("|")[2].strip() == (f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}")
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| `")}
    header = next(line for line in page.splitlines() if line.startswith("| operation"))
    assert header.count("|") in widths
    assert f"{result['chain_length']['ratio']:.3f} times" in page


def test_the_papers_arithmetic(result: dict) -> None:
    short, long = result["paper"]["protocol_3"]
    assert (short["bits"], long["bits"]) == (256, 2048)
    assert long["claimed"] == [2304, 16384]
    page = "\n".join(render_paper(result["paper"]))
    for figure in ("14.1%", "12.4%", "17.7%", "24.7%", "2,034"):
        assert figure in page
    for one in (short, long):
        for got, expected in zip(one["exact"], one["expected"], strict=True):
            assert got == pytest.approx(expected, rel=0.02)
    counted = result["paper"]["protocol_2"]["counted"]
    assert list(counted.values()) == sorted(counted.values(), reverse=True)


def test_a_long_chains_witnesses_verify_and_the_service_answers(tmp_path: Path) -> None:
    parameters = default_parameters("edge-a")
    lengths = measure_chain_length(parameters, tmp_path, (32, 320), 32, 2)
    assert lengths["ratio"] == lengths["cpu_ms"]["320"] / lengths["cpu_ms"]["32"]
    service = measure_service(parameters, tmp_path, 3, 40, 30)
    assert min(service["cold"]["per_s"], service["warm"]["per_s"]) > 0


def test_the_librarys_figures_are_the_librarys() -> None:
    parameters: Parameters = LibraryParameters(default_parameters("edge-a").modulus, "edge-a")
    assert type(parameters.group) is Group
