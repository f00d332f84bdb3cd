"""What a worker process runs: the only module that imports torch when it is imported.

``training.pool`` preloads this module in a fork server, so that a worker starts with torch in memory. A
worker takes one task at a time from its pipe and answers each; it keeps nothing between tasks.
"""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection

import torch

from training.environment import torch_fingerprint
from training.errors import TrainingError
from training.local_update import accuracy, local_update, prepare_torch
from training.tasks import AccuracyResult, Failure, Result, Task, UpdateResult, UpdateTask

__all__ = ["perform", "serve"]


def perform(task: Task) -> Result:
    """Compute one task in this process.

    Raises:
        TrainingError: the inputs do not allow it.
    """
    if isinstance(task, UpdateTask):
        snapshot = local_update(
            task.recipe,
            task.run,
            task.number,
            task.data,
            task.parent,
            task.aggregate,
            task.features,
            task.labels,
        )
        return UpdateResult(snapshot, torch_fingerprint())
    return AccuracyResult(accuracy(task.recipe, task.snapshot, task.features, task.labels))


def serve(connection: Connection) -> None:
    """Answer tasks until the other end closes or sends None."""
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prepare_torch()
    if torch.get_num_threads() != 1:
        connection.send(Failure("WorkerFailed", "torch does not keep to one thread"))
        return
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        if task is None:
            return
        answer: Result | Failure
        try:
            answer = perform(task)
        except TrainingError as error:
            answer = Failure(type(error).__name__, str(error))
        except Exception as error:  # the parent must hear of every fault, whatever it is
            answer = Failure("WorkerFailed", f"{type(error).__name__}: {error}")
        try:
            connection.send(answer)
        except OSError:
            return
