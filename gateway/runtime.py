"""The gateway's working parts, put together from its services. Nothing is opened before it is used."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.admission import Admission
from gateway.directory import Directory
from gateway.ingest import Ingest
from gateway.keybook import KeyBook
from gateway.metrics import Metrics
from gateway.proving import ProofService
from gateway.recording import Recorder
from gateway.services import Services

__all__ = ["Runtime"]


@dataclass(frozen=True)
class Runtime:
    """What the views share."""

    services: Services
    metrics: Metrics
    directory: Directory
    ingest: Ingest
    proofs: ProofService | None
    """None where the services have no prover."""

    @classmethod
    def assemble(cls, services: Services) -> Runtime:
        """Wire the parts."""
        limits = services.limits
        metrics = Metrics()
        keys = KeyBook(services.state / "idempotency.sqlite", limits.key_retention)
        directory = Directory(services.ledger, limits.device_cache, time.monotonic)
        admission = Admission(
            services.ledger,
            directory,
            keys,
            clock=services.clock,
            skew=limits.skew,
            max_bytes=limits.reading_bytes,
        )
        recorder = Recorder(
            services.ledger,
            services.store,
            admission,
            directory,
            keys,
            limits,
            metrics,
            clock=services.clock,
        )
        ingest = Ingest(recorder, admission, limits, metrics)
        proofs = None if services.prover is None else ProofService(services.prover)
        return cls(services, metrics, directory, ingest, proofs)

    def close(self, timeout: float = 30.0) -> None:
        """Answer what is waiting and stop; the services stay their owner's."""
        self.ingest.close(timeout)
        if self.proofs is not None:
            self.proofs.close()
