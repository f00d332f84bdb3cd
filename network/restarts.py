"""Restarting processes of a running network one after the other, so that the others go on meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from network.child import ProcessSpec
from network.control import Keeper
from network.errors import NotReady
from network.topology import Node

__all__ = ["keep_running", "restart_outdated", "wait_until_it_listens"]

_READY_S: Final = 60.0
_SETTLE_S: Final = 1.0


def keep_running(
    keeper: Keeper, nodes: Iterable[Node], specs: Sequence[ProcessSpec], progress: Callable[[str], None]
) -> None:
    """Have these processes running, as they are described and by what their files say now.

    What runs otherwise (its configuration, its certificates or its command have changed since it started) is
    restarted, one process at a time.

    Args:
        keeper: of their host.
        nodes: the processes, under their present names.
        specs: how they shall run.
        progress: called with one line a restart.

    Raises:
        NotReady: a process does not come back.
        ProcessFailed: one cannot be started.
    """
    known = {node.name: node for node in nodes}
    described = {spec.name: spec for spec in specs}
    for name in keeper.outdated(specs):
        progress(f"Restarting {name}, whose configuration or certificates have changed")
        keeper.keep([described[name]])
        wait_until_it_listens(known[name])
    keeper.keep(specs)
    # Why one kept ending may be mended: it is judged by what it does from now on.
    if waiting := [
        state.name for state in keeper.states() if state.state == "restarting" and state.name in known
    ]:
        progress(f"Starting {', '.join(waiting)} again")
        keeper.restart(waiting)


def restart_outdated(keeper: Keeper, nodes: Iterable[Node], progress: Callable[[str], None]) -> None:
    """Restart what has files that have changed since it started, one process at a time.

    Args:
        keeper: of their host.
        nodes: the host's processes, under their present names.
        progress: called with one line a restart.

    Raises:
        NotReady: a process does not come back.
    """
    outdated = keeper.outdated()
    for node in nodes:
        if node.name in outdated:
            progress(f"Restarting {node.name}")
            keeper.restart([node.name])
            wait_until_it_listens(node)


def wait_until_it_listens(node: Node) -> None:
    """Wait for a process, and then for its neighbours to find it again.

    Raises:
        NotReady: it does not listen within a minute.
    """
    end = time.monotonic() + _READY_S
    while True:
        try:
            with socket.create_connection((node.address, node.ports["grpc"]), timeout=2.0):
                break
        except OSError as error:
            if time.monotonic() > end:
                raise NotReady(f"{node.name} does not listen after {_READY_S:g} s") from error
            time.sleep(0.1)
    # Its neighbours look for it every second. Then the next one may go.
    time.sleep(_SETTLE_S)
