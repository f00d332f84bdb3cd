"""A whole network's folder kept in one file, and made again from it.

Block stores are copied as they are: a peer that joins from one of Fabric's own snapshots lacks the early
blocks, which audits need. Logs and records of running processes are left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from network.archive import LEFT_OUT, pack, unpack
from network.control import Keeper
from network.errors import SnapshotError
from network.layout import Layout
from network.records import Records, working_alone
from network.topology_file import load_topology

__all__ = ["files_below", "restore", "snapshot"]


def snapshot(
    root: Path,
    target: Path,
    *,
    pause: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> int:
    """Copy a network at rest into one archive: ledgers, identities with all private keys, stores, state.

    Args:
        root: the network's folder.
        target: the archive; must not exist; is made for its owner alone.
        pause: end the network's processes for as long as it takes, and start them again.
        progress: called with one line a stage.

    Returns:
        How many files it holds.

    Raises:
        SnapshotError: something runs; the target is there already, or lies below ``root``; no network.
        KeeperError: the processes cannot be paused.
    """
    layout = Layout.of(root)
    if not layout.topology.is_file():
        raise SnapshotError(f"{root} holds no network")
    if target.absolute().is_relative_to(layout.root):
        raise SnapshotError(f"{target} lies in the network's own folder; write it somewhere else")
    topology = load_topology(layout.topology)
    if target.exists():
        raise SnapshotError(f"{target} is there already")
    with working_alone(layout.run), contextlib.ExitStack() as stack:
        living = [record for record in Records(layout.run).living() if record.kind != "keeper"]
        others = [f"{one.name} (process {one.process.pid})" for one in living if one.kind != "node"]
        if others:  # before anything is paused, which would not stop them
            raise SnapshotError(
                f"{', '.join(others)} writes to {root}: end it first (`edgeproof run` by Ctrl-C)"
            )
        if pause:
            stack.enter_context(_paused(layout, progress))
        elif living:
            raise SnapshotError(
                f"{len(living)} processes run in {root} ({', '.join(one.name for one in living[:3])}…): end "
                f"them by `edgeproof network down --root {root}`, or have the network paused (--pause)"
            )
        progress(f"Writing {target}")
        return pack(
            layout.root, files_below(layout.root), target, {"kind": "snapshot", "name": topology.name}
        )


def restore(archive: Path, root: Path) -> dict[str, Any]:
    """Make a network's folder, or a host's part of one, from an archive; `up` starts it.

    Args:
        archive: what ``snapshot`` (or ``export_host``) wrote.
        root: a folder that is empty or does not exist.

    Returns:
        What the archive says about itself: ``kind``, ``name``, ``created``, and ``host`` of a host's part.

    Raises:
        SnapshotError: as ``network.archive.unpack``.
    """
    return unpack(archive, root)


def files_below(root: Path) -> list[str]:
    """Everything that has to be kept, relative to the folder, in order."""
    found = []
    for folder in sorted(root.iterdir()):
        if folder.name in LEFT_OUT:
            continue
        inside = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        found += [str(path.relative_to(root)) for path in inside if path.is_file()]
    return found


@contextlib.contextmanager
def _paused(layout: Layout, progress: Callable[[str], None]) -> Iterator[None]:
    """End the nodes of this folder's keepers, and start those again that were running."""
    stopped: list[tuple[Keeper, list[str]]] = []
    try:
        for record in Records(layout.run).living("keeper"):
            keeper = Keeper(layout.root, record.host)
            names = [state.name for state in keeper.states() if state.state != "stopped"]
            progress(f"Pausing {len(names)} processes")
            stopped.append((keeper, names))
            keeper.stop(names)
        yield
    finally:
        for keeper, names in stopped:
            progress(f"Starting {len(names)} processes again")
            keeper.start(names)
