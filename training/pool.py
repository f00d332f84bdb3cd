"""The worker process: torch lives there, one task at a time, killed when it takes too long.

Importing torch takes seconds and hundreds of megabytes, so a fork server does it once and every worker is a
fork of it. The process that follows chains stays light and can always end its worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Final

from training import errors
from training.errors import TrainingError, WorkerFailed, WorkerStopped, WorkerTimeout
from training.tasks import AccuracyResult, AccuracyTask, Failure, Result, Task, UpdateResult, UpdateTask

__all__ = ["ForkedWorker"]

_POLL_S: Final = 0.1
_GRACE_S: Final = 2.0


class ForkedWorker:
    """A ``training.tasks.Worker`` in a process of its own, started when first needed and after every loss.

    Args:
        timeout_s: a task that takes longer is killed.
        stop: when set, a running task is killed and its caller gets ``WorkerStopped``.
    """

    def __init__(self, *, timeout_s: float = 600.0, stop: threading.Event | None = None) -> None:
        self._timeout_s = timeout_s
        self._stop = stop if stop is not None else threading.Event()
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def update(self, task: UpdateTask) -> UpdateResult:
        """See ``Worker.update``."""
        result = self._run(task)
        assert isinstance(result, UpdateResult)
        return result

    def accuracy(self, task: AccuracyTask) -> float:
        """See ``Worker.accuracy``."""
        result = self._run(task)
        assert isinstance(result, AccuracyResult)
        return result.accuracy

    def start(self) -> None:
        """Start the process now, so that the import of torch overlaps with other work."""
        with self._lock:
            self._ensure()

    def close(self) -> None:
        """End the process; a later task starts it again."""
        with self._lock:
            if self._connection is not None and self._process is not None:
                with contextlib.suppress(OSError):
                    self._connection.send(None)
                self._process.join(_GRACE_S)
            self._kill()

    def __enter__(self) -> ForkedWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, task: Task) -> Result:
        with self._lock:
            connection = self._ensure()
            try:
                connection.send(task)
                answer = self._receive(connection)
            except (EOFError, OSError) as error:
                code = self._process.exitcode if self._process is not None else None
                self._kill()
                raise WorkerFailed(f"the worker died (exit code {code})") from error
            except BaseException:
                self._kill()  # an answer that nobody waits for must not meet the next task
                raise
        if isinstance(answer, Failure):
            raise _error_class(answer.error)(answer.message)
        return answer

    def _receive(self, connection: Connection) -> Result | Failure:
        end = time.monotonic() + self._timeout_s
        while not connection.poll(_POLL_S):
            if self._stop.is_set():
                raise WorkerStopped("the process stops")
            if time.monotonic() >= end:
                raise WorkerTimeout(f"no result within {self._timeout_s:g} s")
        answer = connection.recv()
        if not isinstance(answer, UpdateResult | AccuracyResult | Failure):
            raise WorkerFailed(f"the worker answered with a {type(answer).__name__}")
        return answer

    def _ensure(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self._kill()
        context = multiprocessing.get_context("forkserver")
        # Takes effect before the fork server starts; later it is harmless.
        context.set_forkserver_preload(["training.worker"])
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), name="training-worker", daemon=True)
        process.start()
        theirs.close()
        self._process, self._connection = process, ours
        return ours

    def _kill(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = self._connection = None


def _serve(connection: Connection) -> None:
    """Runs in the worker: imports torch there and nowhere else."""
    from training.worker import serve

    serve(connection)


def _error_class(name: str) -> type[TrainingError]:
    """The error class of this room with this name; ``WorkerFailed`` for any other."""
    kind = getattr(errors, name, WorkerFailed)
    return kind if isinstance(kind, type) and issubclass(kind, TrainingError) else WorkerFailed
