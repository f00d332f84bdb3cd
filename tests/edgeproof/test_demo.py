"""The demo, small: stopped half-way by Ctrl-C, gone on with, and everything it leaves behind looked at."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from demo_process import processes_naming, start_demo

from edgeproof.commands.demo import _edges_of
from edgeproof.demo.data import load_digits_split, readings_of
from edgeproof.demo.state import DemoParameters, DemoState, alone_in
from edgeproof.deployment import Backend, Deployment, Plan
from edgeproof.errors import DemoError

PARAMETERS = DemoParameters(edges=2, devices=4, rounds=2, ledger="embedded")
OPTIONS = ("--edges", "2", "--devices", "4", "--rounds", "2")


class Balanced(HTMLParser):
    """Whether every element of a page is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)
        for name, value in attrs:
            assert name not in ("src", "href") or (value or "").startswith("#"), "loads something"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert name not in ("src", "href", "xlink:href") or (value or "").startswith("#"), (
                "loads something"
            )

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.slow
def test_the_demo_is_stopped_and_gone_on_with_and_leaves_what_it_promises(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    first = start_demo(out, *OPTIONS)
    end = time.monotonic() + 120
    while not (out / "demo.json").exists() or '"sent"' not in (out / "demo.json").read_text():
        assert first.poll() is None, first.stdout.read() if first.stdout else ""
        assert time.monotonic() < end
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 130, text
    assert "goes on from here" in text
    assert processes_naming(str(out)) == []

    second = start_demo(out, *OPTIONS)
    text, _ = second.communicate(timeout=400)
    assert second.returncode == 0, text
    assert "Going on" in text
    assert processes_naming(str(out)) == []

    summary = json.loads((out / "summary.json").read_text())
    assert (summary["edges"], summary["devices"], summary["rounds"]) == (2, 4, 2)
    assert summary["ledger"] == "embedded"
    assert summary["records"] == sum(len(part) for part in readings_of(load_digits_split(), 4))
    assert summary["anchors"]["type2"] > 0
    assert summary["anchors"]["type3"] > 0
    assert 0.5 < summary["accuracy"]["federated"] <= 1
    assert 0.5 < summary["accuracy"]["central"] <= 1
    assert len(summary["attacks"]) == 6
    assert [(one["name"], one["caught"]) for one in summary["attacks"] if not one["caught"]] == []
    assert {one["exit_code"] for one in summary["attacks"]} == {1}
    assert min(summary["proof"].values()) > 0

    page = Balanced()
    page.feed((out / "report.html").read_text())
    assert page.open == []

    bundles = sorted((out / "bundles").glob("*.json"))
    assert 3 <= len(bundles) <= 10
    kinds = set()
    for path in bundles:
        # Self-contained: moved to another place, with nothing beside it but the trust root.
        alone = tmp_path / "alone.json"
        alone.write_bytes(path.read_bytes())
        result = subprocess.run(
            [
                *(sys.executable, "-m", "edgeproof", "audit", "bundle", str(alone)),
                *("--trust", str(out / "trust.json"), "--json"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{path.name}: {result.stdout}"
        kinds.add(json.loads(result.stdout)["kind"])
    assert kinds == {"record", "model", "round"}


def test_a_finished_demo_starts_anew_and_an_unfinished_one_goes_on(tmp_path: Path) -> None:
    state = DemoState.open(tmp_path / "demo", PARAMETERS)
    with state.phase("sent"):
        pass
    (tmp_path / "demo" / "something").write_text("of the first demo")
    again = DemoState.open(tmp_path / "demo", PARAMETERS)
    assert again.resumed
    assert again.is_done("sent")
    again.finish()
    anew = DemoState.open(tmp_path / "demo", PARAMETERS)
    assert not anew.resumed
    assert not anew.is_done("sent")
    assert not (tmp_path / "demo" / "something").exists()


def test_other_parameters_start_anew(tmp_path: Path) -> None:
    DemoState.open(tmp_path / "demo", PARAMETERS)
    other = DemoParameters(edges=3, devices=4, rounds=2, ledger="embedded")
    assert not DemoState.open(tmp_path / "demo", other).resumed


def test_a_phase_that_fails_is_not_done(tmp_path: Path) -> None:
    state = DemoState.open(tmp_path / "demo", PARAMETERS)
    with pytest.raises(RuntimeError), state.phase("sent"):
        raise RuntimeError
    assert not DemoState.open(tmp_path / "demo", PARAMETERS).is_done("sent")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DemoError, match="no demo made"):
        DemoState.open(tmp_path, PARAMETERS)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("content", ["", "{}", "[1", '{"schema":"other"}'])
def test_a_damaged_progress_file_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "demo.json").write_text(content)
    with pytest.raises(DemoError, match="start anew"):
        DemoState.open(tmp_path, PARAMETERS)


def test_the_split_is_the_same_every_time_and_holds_a_fifth_out() -> None:
    split = load_digits_split()
    assert (len(split.train), len(split.held_out)) == (1437, 360)
    assert split == load_digits_split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ledger", "fabric", "--network", "/nowhere"],
        ["--ledger", "parchment"],
        ["--edges", "3", "--devices", "2"],
        ["--edges", "1"],
        ["--edges", "9"],
        ["--rounds", "0"],
    ],
)
def test_impossible_choices_are_usage_errors(arguments: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "edgeproof", "demo", "--out", str(tmp_path / "demo"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert not (tmp_path / "demo").exists()


def test_a_networks_topology_decides_the_edges_and_an_embedded_deployment_is_none(tmp_path: Path) -> None:
    def usage(asked: int | None = None) -> str:
        with pytest.raises(typer.BadParameter) as refusal:
            _edges_of(tmp_path, asked)
        return str(refusal.value)

    deployment = Deployment.adopt(tmp_path, replace(Plan.standard(2), ledger=Backend.FABRIC))
    assert "holds no network" in usage()
    deployment.finish()
    assert _edges_of(tmp_path, None) == _edges_of(tmp_path, 2) == 2
    assert "sets it: 2, not 3" in usage(3)
    Deployment.adopt(tmp_path, Plan.standard(2)).finish()
    assert "embedded ledger" in usage()


def test_two_demos_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path / "demo"),
        pytest.raises(DemoError, match="another demo is at work"),
        alone_in(tmp_path / "demo"),
    ):
        pass
    with alone_in(tmp_path / "demo"):
        pass
