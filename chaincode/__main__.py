"""``python -m chaincode --address HOST:PORT --ccid LABEL:HASH``: serve the contracts to a Fabric peer."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from chaincode.peer_stream import Invoke
from chaincode.registry import invoke as our_contracts
from chaincode.shim import ChaincodeServer, TlsFiles

_GRACE_SECONDS = 5.0
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})


def main(arguments: list[str] | None = None, *, invoke: Invoke = our_contracts) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean stop, 2 for unusable files or address.

    Args:
        arguments: of the command line; the process's own where not given.
        invoke: the contracts.
    """
    parser = argparse.ArgumentParser(prog="python -m chaincode", description=__doc__)
    parser.add_argument("--address", required=True, help="host:port to listen on")
    parser.add_argument("--ccid", required=True, help="package id as the peer knows it, label:hash")
    parser.add_argument("--tls-key", type=Path, help="PEM private key; needs --tls-certificate")
    parser.add_argument("--tls-certificate", type=Path, help="PEM certificate")
    parser.add_argument("--tls-client-roots", type=Path, help="PEM authorities that the peer must be of")
    options = parser.parse_args(arguments)
    if (options.tls_key is None) != (options.tls_certificate is None):
        parser.error("--tls-key and --tls-certificate go together")
    if options.tls_client_roots is not None and options.tls_key is None:
        parser.error("--tls-client-roots needs --tls-key and --tls-certificate")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Blocked in every thread and waited for below. A handler would run only once the main thread wakes, and
    # a signal that comes just before it falls asleep would be heard by nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        server = ChaincodeServer(invoke, options.ccid, options.address, tls=_tls(options))
    except (OSError, RuntimeError) as error:
        print(f"chaincode: {error}", file=sys.stderr)
        return 2
    server.start()
    logging.getLogger("chaincode").info("serving %s on port %d", options.ccid, server.port)
    signal.sigwait(_STOPPING)
    server.stop(_GRACE_SECONDS)
    return 0


def _tls(options: argparse.Namespace) -> TlsFiles | None:
    if options.tls_key is None:
        return None
    roots = options.tls_client_roots
    return TlsFiles(
        key=options.tls_key.read_bytes(),
        certificate=options.tls_certificate.read_bytes(),
        client_roots=None if roots is None else roots.read_bytes(),
    )


if __name__ == "__main__":
    sys.exit(main())
