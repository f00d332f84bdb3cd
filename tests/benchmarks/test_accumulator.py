"""The accumulator's benchmark at tiny sizes: shapes, and what holds whatever the machine does."""

from __future__ import annotations

import copy
import itertools
import sys
from pathlib import Path

import pytest

from accumulator import Parameters, default_parameters
from accumulator.group import Group
from accumulator.native import NativeGroup
from benchmarks.accumulator import _peer_ms, main, measure, measure_again
from benchmarks.accumulator_bounds import _row
from benchmarks.accumulator_operations import LibraryParameters
from benchmarks.accumulator_page import render
from benchmarks.errors import MeasurementFailed
from benchmarks.membership_service import measure_chain_length, measure_service
from benchmarks.paper_protocols import render_paper
from benchmarks.record_stream import measure_stream

PEER = """
import sys
times = {"hash_to_prime": 0.5, "accumulate": 10, "witness": 20, "accumulate_from_anchor": 30}
print(times[sys.argv[1]]) if sys.argv[1] in times else sys.exit(3)
"""


@pytest.mark.parametrize("says", ["about 3", "", "nan", "-1"])
def test_a_peer_that_says_no_time_is_told(tmp_path: Path, says: str) -> None:
    script = tmp_path / "peer.py"
    script.write_text(f"print({says!r})")
    with pytest.raises(MeasurementFailed, match=r"peer\.py accumulate 7 says"):
        _peer_ms([sys.executable, str(script)], "accumulate", 7)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    script = tmp_path_factory.mktemp("peer") / "peer.py"
    script.write_text(PEER)
    return measure(
        1, small=100, large=120, chain=1000, ranges=1, peers={"cambrian": [sys.executable, str(script)]}
    )


def has_kernel() -> bool:
    return isinstance(default_parameters("edge-a").group, NativeGroup)


def test_every_operation_is_timed_counted_and_compared(result: dict) -> None:
    named = {
        "reference_powmod", "hash_to_prime", "verify_one", "verify_batch_100", "verify_batch_100_bare",
        "append_only_prove", "append_only_verify",
        "accumulate_100", "accumulate_120", "witness_120", "all_witnesses_100", "all_witnesses_120",
        "accumulate_100_from_anchor", "accumulate_120_from_anchor", "witness_120_from_anchor",
    }  # fmt: skip
    assert named <= result["cpu_ms"].keys() == result["wall_ms"].keys()
    for times in ("cpu_ms", "wall_ms", "kernel_cpu_ms", "kernel_wall_ms"):
        assert all(ms > 0 for ms in result[times].values())
    for times in ("kernel_cpu_ms", "kernel_wall_ms"):
        assert result[times].keys() == (result["cpu_ms"].keys() if has_kernel() else set())
    assert result["pooled"] == ["all_witnesses_100", "all_witnesses_120"]
    assert result["table_build"].keys() == {"100", "120"}
    # Primality alone is computed modulo other numbers than N.
    assert result["cpu_ms"].keys() - result["multiplications"].keys() == {
        "hash_to_prime",
        "check_certificate",
    }
    for name, ratio in result["ratio_to_counted"].items():
        total = sum(result["multiplications"][name].values())
        assert ratio == result["cpu_ms"][name] / (total * result["montgomery_multiplication_ms"])
    peers = result["peers_cpu_ms"]
    assert peers["accumulate_100"] == {"cambrian": 10}
    assert peers["accumulate_100_from_anchor"] == {"cambrian": 30}
    assert peers["witness_120_from_anchor"] == {"cambrian": 20}  # it knows the plain one alone
    assert "all_witnesses_100" not in peers


def test_counts_without_a_formula_are_of_the_operation_itself(result: dict) -> None:
    counted = {name: sum(each.values()) for name, each in result["multiplications"].items()}
    power = counted["reference_powmod"]
    assert counted["verify_one"] == pytest.approx(power, rel=0.1)
    assert counted["verify_100_one_by_one_bare"] == pytest.approx(100 * power, rel=0.1)
    assert counted["verify_batch_100"] == counted["verify_batch_100_bare"] < 3 * power
    # Three powers of the range's length: z, the combined base's and, short, the combiner's.
    assert counted["append_only_prove"] == pytest.approx(2 * counted["accumulate_100_from_anchor"], rel=0.1)


def test_bounds_are_judged_by_the_figures(result: dict) -> None:
    rows = {row["what"]: row for row in result["must_reach"]}
    own, lesser = (
        rows[f"accumulate 100 from an anchor, of cambrian's {theirs}"]
        for theirs in ("from an anchor", "from its generator 2 (less work)")
    )
    mine = result["cpu_ms"]["accumulate_100_from_anchor"]
    assert (own["library"]["value"], lesser["library"]["value"]) == (mine / 30, mine / 10)
    assert rows["all witnesses of 100 from an anchor, CPU, of cambrian's"]["library"]["met"] is None
    for row in rows.values():
        for way in ("library", "kernel"):
            value, met = row[way]["value"], row[way]["met"]
            if value is not None:
                assert met == (value < row["limit"] or (value == row["limit"] and not row["strict"]))
    assert (rows["milliseconds a transaction in the anchor signer"]["kernel"]["met"] is None) != has_kernel()


@pytest.mark.parametrize(
    ("limit", "strict", "met"), [(0.2, False, True), (0.2, True, False), (0.1, False, False)]
)
def test_a_bound_that_is_just_reached(limit: float, strict: bool, met: bool) -> None:
    row = _row("x", limit, {"library": 0.2}, strict=strict)
    assert row["library"] == {"value": 0.2, "met": met}
    assert row["kernel"] == {"value": None, "met": None}


def test_the_page_shows_the_files_figures(result: dict) -> None:
    page = render(result)
    for name, ms in result["cpu_ms"].items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.split("|")[2].strip() == (f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}")
    lines = page.splitlines()
    for head in (at for at, line in enumerate(lines) if line.startswith("|---")):
        rows = itertools.takewhile(lambda line: line.startswith("|"), lines[head - 1 :])
        assert len({row.count("|") for row in rows}) == 1
    for each in result["chain_length"].values():
        assert f" {each['ratio']:.3f} |" in page


def test_the_page_says_plainly_what_was_missed(result: dict) -> None:
    missed, met = {"value": 1.1, "met": False}, {"value": 0.33, "met": True}
    row = {"what": "to win", "limit": 1, "strict": True, "library": missed, "kernel": met}
    page = render({**result, "must_reach": [row]})
    assert "| to win | < 1 | 1.1 | **missed** | 0.33 | met |" in page
    assert "- to win: **missed** (1.1) in pure gmpy2, met (0.33) with the kernel." in page
    alone = {**row, "kernel": {"value": None, "met": None}}
    assert "- to win: **missed** (1.1) in pure gmpy2.\n" in render({**result, "must_reach": [alone]})
    won = {**row, "library": met}
    assert "- to win" not in render({**result, "must_reach": [won]})


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


def test_a_stream_names_what_is_false() -> None:
    chains = {name: default_parameters(name) for name in ("main", "edge-a")}
    stream = measure_stream(chains, 60, [bytes([number]) * 32 for number in range(7)])
    assert (stream["claims"], stream["chains"], stream["false"]) == (60, 2, 5)
    assert min(stream["cpu_ms_each"], stream["false_cpu_ms_each"], stream["peak_mib"]) > 0


def test_a_long_chains_witnesses_verify_and_the_service_answers(tmp_path: Path) -> None:
    parameters = default_parameters("edge-a")
    lengths = measure_chain_length(parameters, tmp_path, (32, 320), 32, 2)
    assert lengths["ratio"] == lengths["cpu_ms"]["320"] / lengths["cpu_ms"]["32"]
    service = measure_service(parameters, tmp_path, 3, 40, 30)
    assert min(service["cold"]["per_s"], service["warm"]["per_s"]) > 0


def test_the_librarys_figures_are_the_librarys() -> None:
    parameters: Parameters = LibraryParameters(default_parameters("edge-a").modulus, "edge-a")
    assert type(parameters.group) is Group


def test_an_operation_is_timed_again_and_the_rest_is_kept(result: dict) -> None:
    kept = copy.deepcopy(result)
    kept["cpu_ms"]["all_witnesses_100"] = kept["wall_ms"]["all_witnesses_100"] = 1e9
    again = measure_again(kept, ["all_witnesses_100"], 1, small=100, large=120)
    assert 0 < again["wall_ms"]["all_witnesses_100"] < 1e9
    assert again["cpu_ms"] | {"all_witnesses_100": 1e9} == kept["cpu_ms"]
    assert again["ratio_to_counted"]["all_witnesses_100"] < 1e6
    assert again["peers_cpu_ms"] == kept["peers_cpu_ms"]
    assert "`all_witnesses_100` was timed again" in render(again)
    with pytest.raises(MeasurementFailed, match="there is no all_witnesses_7"):
        measure_again(kept, ["all_witnesses_7"], 1)


@pytest.mark.parametrize("kept", [None, "{", '{"cpu_ms": {}}'])
def test_again_without_what_was_measured_is_told(
    kept: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "kept.json", tmp_path / "page.md"
    if kept is not None:
        file.write_text(kept)
    assert main(["--only", "nothing", "--json", str(file), "--page", str(page)]) == 1
    assert capsys.readouterr().err.startswith("failed: ")
    assert not page.exists()
