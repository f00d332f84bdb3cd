"""``make clean``, in a folder of the test's own: what it ends, what it refuses, what it leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with a network below build/, as it is while it runs."""
    made = tmp_path / "checkout"
    (made / "build" / "network" / "run").mkdir(parents=True)
    shutil.copy(MAKEFILE, made)
    return made


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


def install(folder: Path, code: int = 0) -> Path:
    """A command that writes down what it is asked for."""
    program = folder / ".venv" / "bin" / "edgeproof"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "$@" >> asked\nexit {code}\n')
    program.chmod(0o755)
    return folder / "asked"


def test_a_network_is_ended_before_it_is_removed(folder: Path) -> None:
    asked = install(folder)
    assert make(folder, "clean").returncode == 0
    assert asked.read_text() == "network clean --yes --root build/network\n"
    assert not (folder / "build").exists()


def test_however_deep_below_build(folder: Path) -> None:
    asked = install(folder)
    deep = folder / "build" / "bench" / "one more" / "edges"
    (deep / "run").mkdir(parents=True)
    assert make(folder, "clean").returncode == 0
    assert "network clean --yes --root build/bench/one more/edges\n" in asked.read_text()
    assert len(asked.read_text().splitlines()) == 2
    shutil.rmtree(folder / ".venv")
    (deep / "run").mkdir(parents=True)
    assert make(folder, "clean").returncode != 0
    assert (deep / "run").is_dir()


def test_without_what_could_end_the_network_nothing_is_removed(folder: Path) -> None:
    done = make(folder, "clean")
    assert done.returncode != 0
    assert "build/network may be running, and there is no .venv" in done.stderr
    assert (folder / "build" / "network" / "run").is_dir()


def test_a_network_that_cannot_be_ended_is_not_removed(folder: Path) -> None:
    install(folder, code=1)
    assert make(folder, "clean").returncode != 0
    assert (folder / "build" / "network" / "run").is_dir()


def test_no_network_elsewhere_is_touched(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "run").mkdir(parents=True)
    asked = install(folder)
    assert make(folder, "clean", NETWORK=str(elsewhere)).returncode == 0
    assert str(elsewhere) not in asked.read_text()
    assert (elsewhere / "run").is_dir()


def test_nothing_built_is_cleaned_without_anything_installed(folder: Path) -> None:
    shutil.rmtree(folder / "build")
    assert make(folder, "clean").returncode == 0


def test_no_file_of_a_targets_name_stands_in_its_way() -> None:
    lines = MAKEFILE.read_text().splitlines()
    phony = next(line for line in lines if line.startswith(".PHONY:")).split()[1:]
    named = {line.split(":")[0] for line in lines if ": " in line and "## " in line and line[0].islower()}
    assert named <= set(phony)
