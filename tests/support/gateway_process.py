"""A gateway in a process of its own, over files that outlive it.

``python gateway_process.py FOLDER PORT [KILL [SILENCE WHOLE]]``

``KILL`` is ``before:N`` or ``after:N``: the worker kills itself (SIGKILL) at its N-th recording transaction,
before the chain has it (but after the store) or right after. ``SILENCE`` and ``WHOLE`` are seconds that the
gateway waits for a request (``Patience``). Prints the port when it listens.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gateway_site import CHAIN, CountingLedger

from chaincode.api import SubmitBatch
from gateway.connections import Patience
from gateway.server import serve
from gateway.services import Services
from identity import Role, Signer
from ledger.embedded import EmbeddedLedger
from store import FileStore


def open_ledger(folder: Path) -> EmbeddedLedger:
    """The chain that ``prepare`` left, as the gateway."""
    peers = [Signer.load(path) for path in sorted((folder / "peers").iterdir())]
    return EmbeddedLedger(
        folder / f"{CHAIN}.sqlite",
        submitter=Signer.load(folder / "gateway"),
        endorsers=peers,
        orderer=Signer.load(folder / "orderer"),
    )


def prepare(folder: Path) -> None:
    """Make the chain, the store, one device (``device.pem``) and everybody's identities."""
    from gateway_site import make_site

    site = make_site(folder)
    for number, peer in enumerate(site.chain.endorsers):
        peer.save(folder / "peers" / str(number))
    site.chain.orderer.save(folder / "orderer")
    site.chain.signer(site.owner, Role.GATEWAY).save(folder / "gateway")
    site.keys["sensor-1"].save(folder / "device.pem")
    site.close()


def main(folder: Path, port: int, kill: str, patience: Patience) -> None:
    when, _, count = kill.partition(":")

    def factory() -> Services:
        ledger = CountingLedger(open_ledger(folder))

        def die(message: object) -> None:
            if ledger.count(SubmitBatch.FUNCTION) + (when == "before") == int(count):
                os.kill(os.getpid(), signal.SIGKILL)

        if when:
            setattr(ledger, when, die)
        return Services(ledger=ledger, store=FileStore(folder / "store"), state=folder / "state")

    serve(
        factory,
        f"127.0.0.1:{port}",
        close=lambda services: services.ledger.close(),
        announce=lambda host, number: print(number, flush=True),
        threads=32,
        grace=10,
        patience=patience,
    )


if __name__ == "__main__":
    times = [float(argument) for argument in sys.argv[4:6]]
    main(Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:4]), Patience(*times))
