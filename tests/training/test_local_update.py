"""The update rule: the same bits again and again, every input bound, and the arithmetic it says it does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from training_play import digits

from training.datasets import decode_readings
from training.errors import MalformedSnapshot, WrongShape
from training.models import initial_weights
from training.recipe import MODELS, default_recipe
from training.snapshots import decode_snapshot, encode_snapshot, initial_snapshot, tree_hash
from training.streams import permutation
from training.tasks import AccuracyTask, UpdateTask


def _task(model="mlp", **change) -> UpdateTask:
    recipe = default_recipe(model)
    data = decode_readings(recipe, (), digits(0, 40))
    start = initial_snapshot(recipe)
    return replace(
        UpdateTask(recipe, "run", 1, b"d" * 32, start, start, data.features, data.labels), **change
    )


def test_a_fresh_process_gives_the_same_bits(torch_worker):
    script = f"""
from training.local_update import prepare_torch
from training.worker import perform
from training.datasets import decode_readings
from training.recipe import MODELS, default_recipe
from training.snapshots import initial_snapshot, tree_hash
from training.tasks import UpdateTask
prepare_torch()
for model in MODELS:
    recipe = default_recipe(model)
    data = decode_readings(recipe, (), {digits(0, 40)!r})
    start = initial_snapshot(recipe)
    result = perform(UpdateTask(recipe, "run", 1, b"d" * 32, start, start, data.features, data.labels))
    print(tree_hash(result.snapshot).hex(), result.environment)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here = [torch_worker.update(_task(model)) for model in MODELS]
    assert done.stdout.splitlines() == [f"{tree_hash(one.snapshot).hex()} {one.environment}" for one in here]


def test_memory_layout_of_the_caller_does_not_matter(torch_worker):
    task = _task()
    buffer = np.zeros(task.features.size + 1, dtype=np.float32)
    shifted = buffer[1:].reshape(task.features.shape)  # off the allocator's alignment by four bytes
    shifted[:] = task.features
    first = torch_worker.update(task).snapshot
    assert torch_worker.update(replace(task, features=shifted)).snapshot == first


def test_every_input_changes_the_result(torch_worker):
    task = _task()
    other = initial_snapshot(replace(task.recipe, seed=9))
    changed_features, changed_labels = task.features.copy(), task.labels.copy()
    changed_features[0, 0] += 1 / 16
    changed_labels[0] = (changed_labels[0] + 1) % 10
    tasks = [
        task,
        replace(task, run="other"),
        replace(task, number=2),
        replace(task, data=b"e" * 32),
        replace(task, aggregate=other),
        replace(task, features=changed_features),
        replace(task, labels=changed_labels),
        *(
            replace(task, recipe=replace(task.recipe, **change))
            for change in (
                {"epochs": 2},
                {"batch_size": 15},
                {"learning_rate_ppm": 99_999},
                {"momentum_ppm": 499_999},
                {"seed": 2},
            )
        ),
    ]
    results = {torch_worker.update(one).snapshot for one in tasks}
    assert len(results) == len(tasks)


def test_logistic_regression_against_numpy_in_float64(torch_worker):
    # Not bit for bit: an independent statement of the rule in another arithmetic.
    recipe = replace(default_recipe("logistic"), epochs=2, batch_size=7)
    task = replace(_task("logistic"), recipe=recipe)
    weight, bias = (initial_weights(recipe)[f"output.{n}"].astype(np.float64) for n in ("weight", "bias"))
    speed = [np.zeros_like(weight), np.zeros_like(bias)]
    for epoch in range(2):
        order = permutation(40, "edgeproof/shuffle/v1", recipe.seed, "run", 1, b"d" * 32, epoch)
        for start in range(0, 40, 7):
            batch = order[start : start + 7]
            x, y = task.features[batch].astype(np.float64), task.labels[batch]
            raw = x @ weight.T + bias
            odds = np.exp(raw - raw.max(axis=1, keepdims=True))
            error = odds / odds.sum(axis=1, keepdims=True)
            error[np.arange(len(y)), y] -= 1
            for position, gradient in enumerate((error.T @ x / len(y), error.mean(axis=0))):
                speed[position] = 0.5 * speed[position] + gradient
            weight, bias = weight - 0.1 * speed[0], bias - 0.1 * speed[1]
    found = decode_snapshot(torch_worker.update(task).snapshot)
    assert np.allclose(found["output.weight"], weight, atol=1e-5)
    assert np.allclose(found["output.bias"], bias, atol=1e-5)


def test_without_examples_the_aggregate_stays(torch_worker):
    task = _task()
    empty = replace(task, features=task.features[:0], labels=task.labels[:0])
    assert torch_worker.update(empty).snapshot == task.aggregate


def test_foreign_and_broken_snapshots_are_refused(torch_worker):
    logistic = initial_snapshot(default_recipe("logistic"))
    for field in ("parent", "aggregate"):
        with pytest.raises(WrongShape):
            torch_worker.update(_task(**{field: logistic}))
        with pytest.raises(MalformedSnapshot):
            torch_worker.update(_task(**{field: b"junk"}))


def test_training_that_runs_away_is_told(torch_worker):
    task = _task()
    huge = encode_snapshot(
        {name: tensor * np.float32(1e30) for name, tensor in initial_weights(task.recipe).items()}
    )
    with pytest.raises(MalformedSnapshot, match="ran away"):
        torch_worker.update(replace(task, aggregate=huge))


def test_accuracy_counts_the_largest_output(torch_worker):
    recipe = default_recipe("logistic")
    weight = np.zeros((10, 64), dtype=np.float32)
    weight[3, 0] = 1.0
    snapshot = encode_snapshot({"output.weight": weight, "output.bias": np.zeros(10, dtype=np.float32)})
    features = np.zeros((4, 64), dtype=np.float32)
    features[:, 0] = 1.0
    labels = np.asarray([3, 3, 3, 4])
    assert torch_worker.accuracy(AccuracyTask(recipe, snapshot, features, labels)) == 0.75
    assert torch_worker.accuracy(AccuracyTask(recipe, snapshot, features[:0], labels[:0])) == 0.0
