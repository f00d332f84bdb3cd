"""What each long-running process does: gateway, anchor signer, relay, training peer, aggregator.

Each takes the deployment folder and ends on SIGTERM or SIGINT, or when the pipe that a supervisor holds open
for it closes. Each can be killed at any instant: what it knows is on the chains, in the store, or can be
computed again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

__all__ = ["stop_on_signals", "stop_with_parent"]


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def stop_with_parent() -> None:
    """End this process when standard input closes, that is, when its supervisor is gone.

    Asks politely first (SIGTERM to itself), and ends hard after five seconds.
    """

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(5.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
