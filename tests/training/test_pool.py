"""The worker process: killed when it takes too long or when all stops, replaced when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.errors import WorkerFailed, WorkerStopped, WorkerTimeout, WrongShape
from training.pool import ForkedWorker
from training.recipe import default_recipe
from training.snapshots import initial_snapshot
from training.tasks import UpdateTask

RECIPE = default_recipe("logistic")
START = initial_snapshot(RECIPE)
QUICK = UpdateTask(RECIPE, "r", 1, b"d", START, START, np.ones((4, 64), np.float32), np.zeros(4, np.int64))
ENDLESS = replace(QUICK, recipe=replace(RECIPE, epochs=1_000_000))


def test_a_task_that_takes_too_long_is_killed_and_the_next_one_runs():
    with ForkedWorker(timeout_s=30) as worker:
        worker.update(QUICK)
        worker._timeout_s = 0.3
        first = worker._process.pid
        with pytest.raises(WorkerTimeout):
            worker.update(ENDLESS)
        assert _gone(first)
        worker._timeout_s = 30
        assert worker.update(QUICK).snapshot == worker.update(QUICK).snapshot
        assert worker._process.pid != first


def test_stop_ends_a_running_task():
    stop = threading.Event()
    with ForkedWorker(timeout_s=60, stop=stop) as worker:
        worker.update(QUICK)
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(WorkerStopped):
            worker.update(ENDLESS)
        assert time.monotonic() - began < 5


def test_a_worker_that_dies_is_told_and_replaced():
    with ForkedWorker(timeout_s=30) as worker:
        wanted = worker.update(QUICK).snapshot
        pid = worker._process.pid
        timer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        timer.start()
        with pytest.raises(WorkerFailed):
            worker.update(ENDLESS)
        assert worker.update(QUICK).snapshot == wanted


def test_errors_keep_their_class(torch_worker):
    foreign = initial_snapshot(default_recipe("mlp"))
    with pytest.raises(WrongShape):
        torch_worker.update(replace(QUICK, aggregate=foreign))
    with pytest.raises(WorkerFailed, match=r"IndexError|RuntimeError"):
        torch_worker.update(replace(QUICK, labels=np.full(4, 99)))
    assert torch_worker.update(QUICK).snapshot  # and it goes on


def test_the_worker_ends_with_its_parent():
    code = """
import sys
from training.pool import ForkedWorker
worker = ForkedWorker()
worker.start()
print(worker._process.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while not _gone(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert _gone(child)
    parent.stdin.close()
    parent.stdout.close()


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
