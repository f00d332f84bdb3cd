"""Fingerprints are printable, short, and those of this machine."""

from __future__ import annotations

import platform

import numpy as np

from chaincode.runs import check_environment
from training.environment import exact_fingerprint
from training.recipe import default_recipe
from training.snapshots import initial_snapshot
from training.tasks import UpdateTask


def test_the_contract_takes_both_fingerprints(torch_worker):
    recipe = default_recipe("logistic")
    start = initial_snapshot(recipe)
    task = UpdateTask(recipe, "r", 1, b"d", start, start, np.ones((1, 64), np.float32), np.zeros(1, np.int64))
    computed = torch_worker.update(task).environment
    for environment in (exact_fingerprint(), computed):
        check_environment(environment)
        assert environment.python == platform.python_version()
        assert environment.machine.startswith(platform.machine())
    assert type(computed.torch) is str
    assert computed != exact_fingerprint()
    assert torch_worker.update(task).environment == computed
