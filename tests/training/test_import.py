"""Importing any module of the room but the worker's does not load torch; nor does following chains."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import training

LIGHT = sorted(
    f"training.{module.name}" for module in pkgutil.iter_modules(training.__path__) if module.name != "worker"
)


def _loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(' '.join(sorted(m for m in sys.modules if '.' not in m)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_no_module_but_the_workers_loads_torch():
    loaded = _loaded("\n".join(f"import {name}" for name in LIGHT))
    assert "training" in loaded
    assert not loaded & {"torch", "sklearn", "flask", "scipy"}


def test_the_probe_sees_torch():
    assert "torch" in _loaded("import training.worker")


@pytest.mark.parametrize("name", training.__all__)
def test_public_names_are_there(name):
    assert hasattr(training, name)


def test_a_result_from_a_worker_does_not_bring_torch_along():
    code = """
import numpy as np
from training import ForkedWorker, UpdateTask, default_recipe, initial_snapshot
recipe = default_recipe("logistic")
start = initial_snapshot(recipe)
with ForkedWorker() as worker:
    task = UpdateTask(recipe, "r", 1, b"d", start, start, np.ones((4, 64), "f4"), np.zeros(4, "i8"))
    assert worker.update(task).environment.torch
"""
    assert "torch" not in _loaded(code)
