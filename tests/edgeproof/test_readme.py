"""The README's commands, run as they stand there, in an empty folder; and what the documents name exists."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]


def blocks(section: str) -> list[str]:
    """The shell commands below a heading of the README, comments cut, continued lines joined."""
    text = (ROOT / "README.md").read_text()
    (part,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    code = "\n".join(re.findall(r"```sh\n(.*?)```", part, re.DOTALL)).replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+#.*", "", line).strip() for line in code.splitlines()) if line]


class Folder:
    """An empty folder in which the README is followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "build").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.running: subprocess.Popen[str] | None = None

    def arguments(self, command: str) -> list[str]:
        words = shlex.split(command.replace("http://127.0.0.1:8440", f"http://127.0.0.1:{self.port}"))
        assert words[0] == ".venv/bin/edgeproof", command
        return [sys.executable, "-m", "edgeproof", *words[1:]]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        if not command.startswith(".venv/bin/edgeproof"):
            return subprocess.run(
                ["/bin/sh", "-c", command], cwd=self.path, capture_output=True, text=True, check=True
            )
        return subprocess.run(
            self.arguments(command), cwd=self.path, capture_output=True, text=True, check=False, timeout=120
        )

    def start(self, command: str) -> None:
        arguments = self.arguments(command)
        # The README's ports may be taken here; training peers have tests of their own.
        arguments = [*arguments[: arguments.index("--run")], "--port", str(self.port)]
        self.running = subprocess.Popen(arguments, cwd=self.path, stdout=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while True:
            try:
                if requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:
                assert self.running.poll() is None, "`edgeproof run` ended"
            assert time.monotonic() < end
            time.sleep(0.1)

    def stop(self) -> None:
        if self.running is not None:
            self.running.terminate()
            self.running.communicate(timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.stop()


def test_the_commands_under_use_it_work(folder: Folder) -> None:
    init, train, run, *device = blocks("Use it")
    assert "init" in init
    assert folder.run(init).returncode == 0
    made = folder.run(train)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("run tides: mlp, 10 rounds")
    folder.start(run)
    for command in device:
        done = folder.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert done.stdout.startswith("recorded ")
    record = done.stdout.split()[1]
    bundle = folder.path / "record.json"
    trust = folder.path / "trust.json"
    there = "--deployment build/mine"
    end = time.monotonic() + 60
    while folder.run(f".venv/bin/edgeproof bundle export record edge-a {record} {bundle} {there}").returncode:
        assert time.monotonic() < end, "the record is not anchored in time"
        time.sleep(0.5)
    assert folder.run(f".venv/bin/edgeproof trust export {trust} {there}").returncode == 0
    judged = folder.run(f".venv/bin/edgeproof audit bundle {bundle} --trust {trust} --json")
    assert judged.returncode == 0, judged.stdout
    assert json.loads(judged.stdout)["verdict"] == "verified"
    spoilt = bundle.read_text().replace(record[:8], "00000000", 1)
    bundle.write_text(spoilt)
    assert folder.run(f".venv/bin/edgeproof audit bundle {bundle} --trust {trust}").returncode == 1


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
    for target in re.findall(r"\]\(([^)#]+?)\)", path.read_text()):
        assert (path.parent / target).exists(), target


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
