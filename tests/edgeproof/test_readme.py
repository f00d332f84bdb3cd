"""The README's commands, run as they stand there, in an empty folder; and what the documents name exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from following import ROOT, Folder, commands


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.stop()


def test_the_commands_under_use_it_work(folder: Folder) -> None:
    init, train, run, *device = commands("README.md", "Use it")
    assert "init" in init
    folder.must(init)
    assert folder.must(train).startswith("run tides: mlp, 10 rounds")
    folder.start(run)
    for command in device:
        printed = folder.must(command)
    assert printed.startswith("recorded ")
    record = printed.split()[1]
    there = "--deployment build/mine"
    folder.until(f"edgeproof bundle export record edge-a {record} record.json {there}")
    folder.must(f"edgeproof trust export trust.json {there}")
    judged = folder.must("edgeproof audit bundle record.json --trust trust.json --json")
    assert json.loads(judged)["verdict"] == "verified"
    bundle = folder.path / "record.json"
    bundle.write_text(bundle.read_text().replace(record[:8], "00000000", 1))
    assert folder.run("edgeproof audit bundle record.json --trust trust.json").returncode == 1


def test_the_commands_on_real_fabric_are_those_of_the_guide() -> None:
    """What ``make`` runs is what the guide's commands, which are run on real Fabric, are for short."""
    known = commands("docs/guide.md", "Operators, on real Fabric")
    up, demo, down = commands("README.md", "On real Fabric")
    for command, meant in (
        (up, "network up --root build/network"),
        (down, "network down --root build/network"),
    ):
        assert make_runs(command) == [meant]
        assert f"edgeproof {meant.removesuffix(' --root build/network')}" in known
    (ran,) = make_runs(demo)
    assert re.match(r"demo --out build/demo .*--ledger fabric --network build/network", ran)
    assert "--edges" not in ran, "the network's topology decides"
    (ran,) = make_runs(f"{demo} EDGES=2 NETWORK=build/other")
    assert re.match(r"demo --out build/demo --edges 2 .*--ledger fabric --network build/other", ran)


def make_runs(command: str) -> list[str]:
    """The calls of our command that a ``make`` command comes to, quotes left out."""
    assert command.startswith("make ")
    told = subprocess.run(
        [*command.split(), "--dry-run", "--old-file", "requirements/full.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    calls = re.findall(r"^\.venv/bin/edgeproof (.*)$", told.stdout, re.MULTILINE)
    return [call.replace('"', "").strip() for call in calls]


def test_every_command_that_the_documents_name_exists() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "edgeproof", "--help"], capture_output=True, text=True, check=True
    ).stdout
    named = set()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        named |= set(re.findall(r"edgeproof ([a-z]+)(?= |`|$)", path.read_text()))
    assert {"audit", "device", "init", "run", "train", "recompute"} <= named
    missing = [name for name in named if f" {name} " not in help_text]
    assert missing == []


def test_make_alone_prints_help() -> None:
    text = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "bench"):
        assert re.search(rf"^  make {target} ", text, re.MULTILINE)


@pytest.mark.parametrize(
    "document",
    ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))],
)
def test_links_of_the_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target, _, part in re.findall(r"\]\(([^)#]*)(#([^)]+))?\)", path.read_text()):
        there = path.parent / target if target else path
        assert there.exists(), target
        if there.name.startswith("benchmarks"):
            continue  # written by a measurement, with the headings of the one that was made last
        headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE) if part else []
        # As forges name a heading: lower case, spaces as hyphens, nothing else but letters and digits.
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not part or part in slugs, f"{target}#{part}"


def test_decision_records_are_numbered_without_a_gap_and_have_one_form() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for number, path in enumerate(records, start=1):
        text = path.read_text()
        assert text.startswith(f"# {number}. "), path.name
        assert "\n\nStatus: accepted.\n\n" in text, path.name
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], (
            path.name
        )
        assert not re.search(r"^## .*\n\n+(?=##|\Z)", text, re.MULTILINE), f"an empty part in {path.name}"
        for target in re.findall(r"\]\(([^)#]+?)\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
