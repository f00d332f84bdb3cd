"""Ending everything that runs over a network's folder, and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from network.control import Keeper
from network.errors import KeeperError, NetworkError
from network.records import Record, Records, working_alone

__all__ = ["down", "remove"]

_SUPERVISOR_S = 15.0
_KEEPER_MARGIN_S = 5.0


def down(
    root: Path,
    *,
    host: str | None = None,
    timeout_s: float = 10.0,
    progress: Callable[[str], None] = lambda line: None,
) -> int:
    """End every process over ``root``; afterwards none runs that is recorded there.

    Other supervisors (``edgeproof run``, the demo) and services go first, so that nobody submits to what is
    ending; then
    the keepers, which end their nodes; then whatever a killed keeper left behind.

    Args:
        root: the network's folder; one that is not there has nothing to end.
        host: only this host's part of the network.
        timeout_s: seconds between SIGTERM and SIGKILL for the nodes.
        progress: called with one line a stage.

    Returns:
        How many processes ended.

    Raises:
        NetworkError: another command is changing the network.
        ProcessFailed: a process cannot be ended at all.
    """
    run = root.absolute() / "run"
    if not run.is_dir():
        return 0
    records = Records(run)
    with working_alone(run):
        running = [record for record in records.living() if host in (None, record.host)]
        by_kind = {kind: [record for record in running if record.kind == kind] for kind in ("keeper", "node")}
        above = [record for record in running if record.kind in ("supervisor", "service")]
        # A supervisor that calls `down` itself (a demo that cleans up) is not to end by its own hand.
        others = [record for record in above if record.process.pid != os.getpid()]
        if others:
            progress(f"Ending {', '.join(record.name for record in others)}")
            _end_all(records, others, _SUPERVISOR_S)
        if by_kind["keeper"]:
            progress(f"Ending {len(by_kind['node'])} processes of the network")
        with ThreadPoolExecutor(max_workers=max(1, len(by_kind["keeper"]))) as pool:
            list(pool.map(lambda record: _end_keeper(root, record, timeout_s), by_kind["keeper"]))
        left = [record for record in records.living("node") if host in (None, record.host)]
        if left:
            progress(f"Ending {len(left)} processes that no keeper looks after")
            _end_all(records, left, timeout_s)
        for record in records.all():
            if not record.process.alive:
                records.remove(record.name, record.process)
        return len(running) - len(above) + len(others)


def remove(root: Path) -> None:
    """Remove a network's folder, in which nothing runs, with its ledgers and keys.

    Raises:
        NetworkError: something runs there, or the folder is none of a network.
    """
    run = root.absolute() / "run"
    if not (root / "topology.yaml").is_file() and not run.is_dir():
        raise NetworkError(f"{root} is no network's folder; remove it yourself if it shall go")
    running = Records(run).living()
    if running:
        raise NetworkError(f"{len(running)} processes run in {root}; `edgeproof network down --root {root}`")
    # A crash half-way leaves a folder that is still known as a network's, to be cleaned again.
    for path in sorted(root.iterdir(), key=lambda path: path.name in ("topology.yaml", "run")):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    root.rmdir()


def _end_keeper(root: Path, record: Record, timeout_s: float) -> None:
    """Ask it; where it does not hear, tell it by signal, which does the same."""
    with contextlib.suppress(KeeperError):
        Keeper(root, record.host).shutdown(timeout_s)
        deadline = time.monotonic() + timeout_s + _KEEPER_MARGIN_S
        while record.process.alive and time.monotonic() < deadline:
            time.sleep(0.02)
    record.process.end(timeout_s + _KEEPER_MARGIN_S)


def _end_all(records: Records, targets: Iterable[Record], timeout_s: float) -> None:
    chosen = list(targets)
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        list(pool.map(lambda record: record.process.end(timeout_s), chosen))
    for record in chosen:
        records.remove(record.name, record.process)
