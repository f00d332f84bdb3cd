"""A deployment that grows by hand: readings in, anchors up and down, by the product's own parts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from benchmarks.device_load import CONTENT_TYPE, reading_bytes
from benchmarks.errors import MeasurementFailed
from chaincode.api import SubmitBatch, SubmitReading
from edgeproof.deployment import Deployment
from edgeproof.wiring import Parts
from gateway.client import enrolment
from gateway.client.readings import ReadingSigner
from gateway.relay import RelayPolicy
from gateway.relay_runner import RelayChain, RelayRunner
from gateway.signer import AnchorSigner
from identity import KeyPair, Role
from ledger.port import call

__all__ = ["INTERLOCK_ELEMENTS", "Grower"]

INTERLOCK_ELEMENTS = 4
"""Elements of an edge's chain that each round of anchors adds: a cut, two signatures, main's anchor."""

_DEVICE = "meter-1"
_SUBMITTERS = 16
_POLICY = RelayPolicy(max_news=1, max_age_s=0.0, retry_s=0.0, max_retry_s=0.0)
_STEPS = 5000


class Grower(AbstractContextManager["Grower"]):
    """Records on one edge, and anchors all chains, in this process and without any timing of its own.

    Two organisations of each chain sign, as many as the roster asks for.

    Args:
        deployment: where.
        edge: the chain that records.
        key: of the one device whose readings they are; ``enrol`` comes first.
    """

    def __init__(self, deployment: Deployment, edge: str, key: KeyPair) -> None:
        self._stack = ExitStack()
        self._edge = edge
        parts = self._stack.enter_context(Parts(deployment, "grower"))
        plan = deployment.plan
        operator = plan.chain(edge).operator
        self._ledger = parts.ledger(edge, operator, Role.GATEWAY)
        self._index = parts.index(self._ledger)
        self._signers = []
        chains = {}
        for chain in plan.chains:
            relaying = parts.ledger(chain.chain, chain.operator, Role.RELAY)
            chains[chain.chain] = RelayChain(relaying, parts.index(relaying))
            for msp_id in chain.organisations[:2]:
                ledger = parts.ledger(chain.chain, msp_id, Role.ANCHOR_SIGNER)
                signer = deployment.signer(msp_id, Role.ANCHOR_SIGNER)
                self._signers.append(AnchorSigner(ledger, parts.index(ledger), signer))
        self._relay = RelayRunner(plan.main.chain, chains, _POLICY)
        self._stack.callback(self._relay.close)
        self._deployment = deployment
        self._key = key
        self._device = ReadingSigner(edge, _DEVICE, key, clock=time.time)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def elements(self) -> int:
        """Elements of the edge's chain."""
        self._index.sync()
        return self._index.elements

    def enrol(self) -> None:
        """Enrol the device."""
        owner = self._deployment.plan.chain(self._edge).organisations[1]
        owner_key = self._deployment.owner_key(owner)
        call(self._ledger, enrolment(self._edge, _DEVICE, self._key, owner, owner_key))

    def fill(self, elements: int, batch: int) -> Sequence[bytes]:
        """Add ``elements`` transactions of a reading each, then one of ``batch`` readings; its record ids."""

        def single(number: int) -> None:
            prepared = self._device.sign(reading_bytes(number), CONTENT_TYPE)
            self._ledger.submit(SubmitReading(prepared.reading))

        with ThreadPoolExecutor(_SUBMITTERS) as pool:
            list(pool.map(single, range(elements)))
        prepared = [self._device.sign(reading_bytes(number), CONTENT_TYPE) for number in range(batch)]
        self._ledger.submit(SubmitBatch(tuple(one.reading for one in prepared)))
        return [one.record for one in prepared]

    def interlock(self) -> None:
        """Anchor everything that is news: edges on main, main on every edge.

        Raises:
            MeasurementFailed: it does not come to rest.
        """
        for _ in range(_STEPS):
            signed = [signer.step() for signer in self._signers]
            if not self._relay.step() and not any(signed) and self._relay.relay.idle:
                return
            time.sleep(0.001)
        raise MeasurementFailed("the anchors do not come to rest")
