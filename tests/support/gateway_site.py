"""An edge gateway for tests: a chain, a store, devices, and the application over them.

``make_site`` makes its chain on the embedded ledger; ``site_on`` stands on either, over real Fabric on the
network of the whole run, where devices of earlier sites are found again with their keys.

::

    site = make_site(tmp_path)
    response = site.post(site.sign(b"21.5"))
    site.chain.close()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from chains import make_chain
from flask.testing import FlaskClient
from flask_openapi.openapi import OpenAPI
from werkzeug.test import TestResponse

from chaincode.api import Message, Organisation, RegisterOrganisation
from edgeproof.setup import adopt_network
from edgeproof.wiring import Parts
from gateway.app import create_app, runtime_of
from gateway.client import PreparedReading, ReadingSigner, enrolment
from gateway.problems import PROBLEMS
from gateway.services import Limits, Services
from identity import KeyPair, Role
from ledger.errors import ContractRefused
from ledger.port import Ledger, Receipt, call
from store import FileStore

CHAIN = "edge-a"
TOKEN = "the-operator-of-this-edge-0123456789"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


def check_problem(response: TestResponse, slug: str) -> dict[str, Any]:
    """The answer is this very problem, in its form (RFC 9457)."""
    assert response.mimetype == "application/problem+json", response.get_data()
    problem: dict[str, Any] = response.get_json()
    assert problem["type"] == f"urn:edgeproof:problem:{slug}", problem
    assert problem["status"] == response.status_code == PROBLEMS[slug][0]
    assert problem["title"] == PROBLEMS[slug][1]
    assert problem["detail"]
    return problem


class CountingLedger:
    """Hands everything on, and counts the submissions by function."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.submitted: list[Message] = []
        self.before: Callable[[Message], None] = lambda message: None
        self.after: Callable[[Message], None] = lambda message: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def submit(self, message: Message, *, timeout: float = 30.0) -> Receipt:
        self.before(message)
        self.submitted.append(message)
        receipt = self._ledger.submit(message, timeout=timeout)
        self.after(message)
        return receipt

    def count(self, function: str) -> int:
        return sum(function == message.FUNCTION for message in self.submitted)


@dataclass
class Clock:
    """The gateway's clock: the real one, shifted."""

    shift: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.shift


class Chain(Protocol):
    """What a site needs of its chain."""

    @property
    def ledger(self) -> Ledger:
        """Spoken to as a client."""

    def close(self) -> None:
        """Give back what is held."""


@dataclass
class Site:
    """A gateway and everybody around it."""

    chain: Chain
    ledger: CountingLedger
    store: FileStore
    services: Services
    app: OpenAPI
    owner: str
    owner_key: KeyPair
    clock: Clock
    keys: dict[str, KeyPair] = field(default_factory=dict)

    @property
    def http(self) -> FlaskClient:
        return self.app.test_client()

    def enrol(self, device: str, algorithm: str = "ed25519") -> KeyPair:
        key = KeyPair.generate(algorithm)
        call(self.chain.ledger, enrolment(CHAIN, device, key, self.owner, self.owner_key))
        self.keys[device] = key
        return key

    def sign(
        self,
        data: bytes,
        device: str = "sensor-1",
        *,
        nonce: str | None = None,
        key: str | None = None,
        signer: KeyPair | None = None,
        gateway: str = "",
        chain: str = CHAIN,
        at: float = 0.0,
        content_type: str = "application/octet-stream",
    ) -> PreparedReading:
        """A signed reading; ``at`` shifts its time, ``key`` is the idempotency key."""
        return ReadingSigner(
            chain,
            device,
            signer or self.keys[device],
            gateway=gateway,
            clock=lambda: time.time() + at,
        ).sign(data, content_type, nonce=nonce, idempotency_key=key or "")

    def post(self, prepared: PreparedReading, **changes: str | None) -> TestResponse:
        """Send it; ``changes`` replace header fields (None removes one)."""
        headers = {name: value for name, value in prepared.headers().items() if value}
        for name, value in changes.items():
            name = name.replace("_", "-")
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
        return self.http.post("/v1/readings", data=prepared.data, headers=headers)

    def post_batch(self, *prepared: PreparedReading) -> list[dict[str, Any]]:
        items = []
        for one in prepared:
            item = one.item()
            if not item["idempotency_key"]:
                del item["idempotency_key"]
            items.append(item)
        response = self.http.post("/v1/readings/batch", json={"readings": items})
        assert response.status_code == 200, response.get_data()
        answers: list[dict[str, Any]] = response.get_json()["answers"]
        return answers

    def restart(self, **changes: Any) -> None:
        """The same files under a fresh application, as after a restart."""
        runtime_of(self.app).close()
        self.services = replace(self.services, **changes)
        self.app = create_app(self.services)

    def close(self) -> None:
        runtime_of(self.app).close()
        self.store.close()
        self.chain.close()


def make_site(tmp_path: Path, *, limits: Limits | None = None, clock: Clock | None = None) -> Site:
    """A site with one enrolled device, ``sensor-1``."""
    chain = make_chain(tmp_path, CHAIN)
    owner, owner_key = chain.organisations[0], KeyPair.generate()
    call(
        chain.acting_as(owner, Role.ADMIN),
        RegisterOrganisation(Organisation(owner, "The owner", owner_key.spki)),
    )
    ledger = CountingLedger(chain.acting_as(owner, Role.GATEWAY))
    store = FileStore(tmp_path / "store")
    clock = clock or Clock()
    services = Services(
        ledger=ledger,
        store=store,
        state=tmp_path / "state",
        clock=clock,
        limits=limits or Limits(),
        operator_token=TOKEN,
    )
    site = Site(chain, ledger, store, services, create_app(services), owner, owner_key, clock)
    site.enrol("sensor-1")
    return site


BACKENDS = ["embedded", pytest.param("fabric", marks=pytest.mark.fabric)]
"""For fixtures: the same tests over both."""

_FABRIC_KEYS: dict[tuple[Path, str], KeyPair] = {}
"""By network and device: what one site of a run has enrolled, the next one finds on the chain."""


@contextmanager
def site_on(request: pytest.FixtureRequest, folder: Path) -> Iterator[Site]:
    """A site on the backend that the fixture's parameter names (``BACKENDS``)."""
    if request.param == "fabric":
        made = _make_fabric_site(request.getfixturevalue("fabric_network").root, folder)
    else:
        made = make_site(folder)
    try:
        yield made
    finally:
        made.close()


class _FabricSite(Site):
    def enrol(self, device: str, algorithm: str = "ed25519") -> KeyPair:
        assert isinstance(self.chain, _FabricChain)
        known = _FABRIC_KEYS.setdefault((self.chain.root, device), KeyPair.generate(algorithm))
        try:
            call(self.chain.ledger, enrolment(CHAIN, device, known, self.owner, self.owner_key))
        except ContractRefused as error:
            if error.code != "already-exists":
                raise
        self.keys[device] = known
        return known


@dataclass
class _FabricChain:
    root: Path
    parts: Parts
    ledger: Ledger

    def close(self) -> None:
        self.parts.close()


def _make_fabric_site(root: Path, folder: Path) -> Site:
    deployment = adopt_network(root)
    operator = deployment.plan.chain(CHAIN).operator
    parts = Parts(deployment, "site", caches=folder / "caches")
    ledger = CountingLedger(parts.ledger(CHAIN, operator, Role.GATEWAY))
    store = FileStore(folder / "store")
    clock = Clock()
    services = Services(ledger=ledger, store=store, state=folder / "state", clock=clock, operator_token=TOKEN)
    site = _FabricSite(
        _FabricChain(root, parts, parts.ledger(CHAIN, operator, Role.CLIENT)),
        ledger,
        store,
        services,
        create_app(services),
        operator,
        deployment.owner_key(operator),
        clock,
    )
    site.enrol("sensor-1")
    return site
