"""Recompute one step in a process of its own: ``python -m training.replay_process``, JSON in, JSON out.

Standard input is one request, standard output one answer; nothing else of this machine is read. The process
trusts neither: a malformed request is answered by exit code 2 and one line on standard error.

Request: ``{"run": …, "step": …, "parent": base64, "aggregate": base64, "data": [base64, …],
"claimed": base64 or null}``.
Answer: ``{"verdict": …, "result": hex, "environment": … or null, "reason": …}``.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chaincode.api import Environment, Run, Step
from protocol.encodings import Json, canonical_json, from_json, parse_json, to_json
from protocol.errors import EncodingError
from training.errors import TrainingError, WorkerFailed, WorkerTimeout
from training.replay import Recomputed, Verdict, recompute_from_bytes

if TYPE_CHECKING:
    from training.tasks import AccuracyTask, UpdateResult, UpdateTask

__all__ = ["Answer", "SubprocessReplayer", "main"]

_MALFORMED: Final = 2
_FIELDS: Final = frozenset({"run", "step", "parent", "aggregate", "data", "claimed"})


@dataclass(frozen=True)
class Answer:
    """What the process found."""

    verdict: Verdict
    result: bytes
    """Tree hash of what was computed; empty when nothing was."""
    environment: Environment | None
    reason: str


@dataclass(frozen=True)
class _Request:
    run: Run
    step: Step
    parent: bytes
    aggregate: bytes
    data: tuple[bytes, ...]
    claimed: bytes | None


class SubprocessReplayer:
    """Recomputes steps in a fresh process each (an auditor's spot check, behind audit's ``Replayer`` port).

    Args:
        claimed: gives the bytes of a claimed result by its tree hash, or None; only the tolerance between
            different environments needs them.
        timeout_s: a recomputation that takes longer is killed.
        python: the interpreter.
    """

    def __init__(
        self,
        *,
        claimed: Callable[[bytes], bytes | None] = lambda _: None,
        timeout_s: float = 600.0,
        python: str = sys.executable,
    ) -> None:
        self._claimed = claimed
        self._timeout_s = timeout_s
        self._python = python

    def replay(self, run: Run, step: Step, parent: bytes, aggregate: bytes, data: Sequence[bytes]) -> Answer:
        """Recompute a step from its inputs' bytes (see ``training.replay.recompute_from_bytes``).

        Raises:
            WorkerTimeout: it took too long.
            WorkerFailed: the process did not answer.
        """
        request = _request_json(
            _Request(run, step, parent, aggregate, tuple(data), self._claimed(step.result))
        )
        command = [self._python, "-m", "training.replay_process"]
        try:
            done = subprocess.run(
                command,
                input=canonical_json(request),
                capture_output=True,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise WorkerTimeout(f"no answer within {self._timeout_s:g} s") from error
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
            raise WorkerFailed(f"the process ended with {done.returncode}: {last[0][:200]}")
        return _read_answer(done.stdout)


class _ThisProcess:
    """A ``training.tasks.Worker`` right here: the process exists for one task."""

    def update(self, task: UpdateTask) -> UpdateResult:
        from training.local_update import prepare_torch
        from training.tasks import UpdateResult
        from training.worker import perform

        prepare_torch()
        result = perform(task)
        assert isinstance(result, UpdateResult)
        return result

    def accuracy(self, task: AccuracyTask) -> float:
        raise WorkerFailed("this process recomputes steps only")


def main() -> int:
    """Answer one request; the exit code."""
    try:
        request = _read_request(sys.stdin.buffer.read())
        answer = recompute_from_bytes(
            request.run,
            request.step,
            request.parent,
            request.aggregate,
            request.data,
            _ThisProcess(),
            request.claimed,
        )
    except (EncodingError, TrainingError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return _MALFORMED
    sys.stdout.buffer.write(canonical_json(_answer_json(answer)))
    return 0


def _request_json(request: _Request) -> Json:
    return {
        "run": to_json(request.run),
        "step": to_json(request.step),
        "parent": _text(request.parent),
        "aggregate": _text(request.aggregate),
        "data": [_text(item) for item in request.data],
        "claimed": None if request.claimed is None else _text(request.claimed),
    }


def _read_request(raw: bytes) -> _Request:
    value = parse_json(raw)
    if not isinstance(value, dict) or value.keys() != _FIELDS or not isinstance(value["data"], list):
        raise EncodingError(f"a request has the fields {', '.join(sorted(_FIELDS))}")
    return _Request(
        run=from_json(Run, value["run"], "$.run"),
        step=from_json(Step, value["step"], "$.step"),
        parent=_bytes(value["parent"]),
        aggregate=_bytes(value["aggregate"]),
        data=tuple(_bytes(item) for item in value["data"]),
        claimed=None if value["claimed"] is None else _bytes(value["claimed"]),
    )


def _answer_json(answer: Recomputed) -> Json:
    return {
        "verdict": answer.verdict.value,
        "result": answer.result.hex(),
        "environment": to_json(answer.environment),
        "reason": answer.reason,
    }


def _read_answer(raw: bytes) -> Answer:
    try:
        return from_json(Answer, parse_json(raw))
    except EncodingError as error:
        raise WorkerFailed(f"the process answered nonsense: {error}") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: Json) -> bytes:
    if not isinstance(text, str):
        raise EncodingError("base64 text is wanted")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EncodingError(f"not base64: {error}") from error


if __name__ == "__main__":
    raise SystemExit(main())
