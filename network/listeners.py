"""Which ports are taken, and by whom as far as the kernel tells."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

__all__ = ["listener_of", "port_is_free"]

_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


def port_is_free(address: str, port: int) -> bool:
    """Whether a process could listen there now.

    Raises:
        OSError: the address itself cannot be used on this host.
    """
    with socket.socket() as probe:
        # As servers do: connections of a former listener that fade away are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            import errno

            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def listener_of(port: int) -> str | None:
    """``program (process N)`` that listens on a TCP port; None where that cannot be told.

    Other users' processes show their sockets to the administrator alone.
    """
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None
