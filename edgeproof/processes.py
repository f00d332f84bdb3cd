"""What each long-running process does: gateway, anchor signer, relay, training peer, aggregator.

Each takes the deployment folder and ends on SIGTERM or SIGINT, or when the pipe that a supervisor holds open
for it closes. Each can be killed at any instant: what it knows is on the chains, in the store, or can be
computed again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgeproof.deployment import Deployment
from edgeproof.errors import DeploymentError
from edgeproof.settings import Settings
from edgeproof.wiring import Parts
from identity import Role
from identity.errors import KeyStoreError
from identity.files import read_file, write_file

if TYPE_CHECKING:
    from training.machine import Machine

__all__ = [
    "operator_token",
    "run_aggregator",
    "run_gateway",
    "run_peer",
    "run_relay",
    "run_signer",
    "stop_on_signals",
    "stop_with_parent",
]

_log = logging.getLogger(__name__)
_PLAN_S = 2.0
"""How often a process looks whether the deployment has changed."""


def run_gateway(
    deployment: Deployment, edge: str, host: str, port: int, certificate: str | None, key: str | None
) -> None:
    """Serve one edge's REST interface until SIGTERM or SIGINT."""
    from gateway.server import serve
    from gateway.services import Services

    plan = deployment.plan.chain(edge)
    opened: list[Parts] = []

    def open_services() -> Services:
        parts = _parts(deployment, f"gateway-{edge}")
        opened.append(parts)
        main = deployment.plan.main
        return Services(
            ledger=parts.ledger(edge, plan.operator, Role.GATEWAY),
            store=parts.store(edge),
            state=parts.folder("keys"),
            main=parts.ledger(main.chain, main.operator, Role.AUDITOR),
            prover=parts.prover,
            operator_token=operator_token(parts.folder("keys")),
        )

    def close(_: Services) -> None:
        for parts in opened:
            parts.close()

    serve(
        open_services,
        f"{host}:{port}",
        close=close,
        announce=lambda address, number: print(f"listening on {address}:{number}", flush=True),
        grace=10,
        certificate=certificate,
        key=key,
    )


def operator_token(folder: Path) -> str:
    """The token of a gateway's operator: the file ``operator-token``, made once, for its owner's eyes alone.

    Any number of processes may ask at once: all get the same one.

    Raises:
        DeploymentError: the file cannot be made or read, others can read it, or it holds no token.
    """
    path = folder / "operator-token"
    try:
        if not path.exists():
            fresh = secrets.token_urlsafe(32)
            try:
                write_file(path, fresh.encode(), mode=0o600, replace=False)
                _log.info("made the operator's token in %s", path)
            except KeyStoreError:
                if not path.exists():  # else another process was first: its token is the one
                    raise
        if path.stat().st_mode & 0o077:
            raise DeploymentError(f"others can read {path}: remove it, and a new token is made")
        token = read_file(path).decode("ascii", "replace").strip()
    except (KeyStoreError, OSError) as error:
        raise DeploymentError(f"the operator's token {path} cannot be used: {error}") from error
    if re.fullmatch(r"[A-Za-z0-9_-]{32,512}", token) is None:
        raise DeploymentError(f"{path} holds no token: remove it, and a new one is made")
    return token


def run_signer(deployment: Deployment, chain: str, organisation: str) -> None:
    """Sign one chain's anchors for one organisation."""
    from gateway.signer import AnchorSigner

    stop = stop_on_signals()
    with _parts(deployment, f"signer-{organisation}") as parts:
        ledger = parts.ledger(chain, organisation, Role.ANCHOR_SIGNER)
        signer = AnchorSigner(
            ledger, parts.index(ledger), deployment.signer(organisation, Role.ANCHOR_SIGNER)
        )
        signer.run(stop)


def run_relay(deployment: Deployment, max_news: int, max_age_s: float) -> None:
    """Carry anchors between all chains; ends when the deployment has got another chain."""
    from gateway.relay import RelayPolicy
    from gateway.relay_runner import RelayChain, RelayRunner

    stop = stop_on_signals()
    with _parts(deployment, "relay") as parts:
        chains = {}
        for plan in deployment.plan.chains:
            ledger = parts.ledger(plan.chain, plan.operator, Role.RELAY)
            chains[plan.chain] = RelayChain(ledger, parts.index(ledger))
        # Whoever supervises this process starts it anew, with the new chain.
        threading.Thread(target=_end_with_plan, args=(deployment, stop), name="plan", daemon=True).start()
        policy = RelayPolicy(max_news=max_news, max_age_s=max_age_s)
        RelayRunner(deployment.plan.main.chain, chains, policy).run(stop)


def _end_with_plan(deployment: Deployment, stop: threading.Event) -> None:
    while not stop.wait(_PLAN_S):
        with contextlib.suppress(DeploymentError):  # its file is being replaced, or the folder removed
            if Deployment(deployment.root).plan != deployment.plan:
                _log.info("the deployment has other chains now")
                stop.set()


def run_peer(deployment: Deployment, edge: str, organisation: str, run: str) -> None:
    """Train and attest for one organisation on one edge until the run is finished."""
    from training.peer import TrainingPeer
    from training.pool import ForkedWorker

    stop = threading.Event()
    with _parts(deployment, f"peer-{organisation}") as parts, ForkedWorker(stop=stop) as worker:
        # Starting waits until torch is imported, seconds during which nobody would look at the event: until
        # then a signal ends this process at once.
        worker.start()
        stop_on_signals(stop)
        peer = TrainingPeer(
            run,
            organisation,
            parts.ledger(edge, organisation, Role.TRAINER),
            parts.store(edge),
            worker,
            main=deployment.plan.main.chain,
            # Every organisation votes on every step, also where the threshold is met already.
            thorough=True,
        )
        _drive(peer, stop)


def run_aggregator(deployment: Deployment, organisation: str, run: str) -> None:
    """Aggregate, attest and push models down for one organisation of main until the run is finished."""
    from training.aggregator import Aggregator

    plan = deployment.plan
    stop = stop_on_signals()
    with _parts(deployment, f"aggregator-{organisation}") as parts:
        aggregator = Aggregator(
            run,
            organisation,
            parts.ledger(plan.main.chain, organisation, Role.AGGREGATOR),
            {edge.chain: parts.ledger(edge.chain, edge.operator, Role.AGGREGATOR) for edge in plan.edges},
            {chain.chain: parts.store(chain.chain) for chain in plan.chains},
            parts.prover,
        )
        _drive(aggregator, stop)


def _drive(machine: Machine, stop: threading.Event) -> None:
    from training.machine import Waiting
    from training.runner import Event, Runner

    def tell(machine: Machine, event: Event) -> None:
        # A new reason to wait comes with almost every block: of interest to somebody who looks for a fault.
        level = logging.DEBUG if isinstance(event, Waiting) else logging.INFO
        _log.log(level, "%s: %s", machine.name, event)

    Runner([machine], stop, progress=tell).run()
    # A supervisor restarts what ends: a peer whose run is finished stays until it is told to go.
    stop.wait()


def _parts(deployment: Deployment, name: str) -> Parts:
    return Parts(deployment, name, Settings.from_environment())


def stop_on_signals(stop: threading.Event | None = None) -> threading.Event:
    """An event (``stop``, or a new one) that SIGTERM and SIGINT set; to be called in the main thread."""
    stop = threading.Event() if stop is None else stop

    def handle(*_: object) -> None:
        # A handler runs between two steps of the main thread, which may be inside this event's own lock:
        # setting it here could wait for ever.
        threading.Thread(target=stop.set, name="stop", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def stop_with_parent() -> None:
    """End this process when standard input closes, that is, when its supervisor is gone.

    Asks politely first (SIGTERM to itself), and ends hard after five seconds.
    """

    def watch() -> None:
        # The descriptor itself: a thread that holds the buffered reader's lock would spoil the shutdown.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(5.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
