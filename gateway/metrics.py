"""What the gateway counts, for Prometheus. One registry an application; one worker process a gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]


class Metrics:
    """The gateway's counters."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._readings = Counter(
            "edgeproof_readings",
            "Readings answered, by outcome: recorded, repeated, or the problem's slug.",
            ["outcome"],
            registry=self._registry,
        )
        self._batches = Histogram(
            "edgeproof_batch_readings",
            "Readings in one recording transaction.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self._registry,
        )
        self._commits = Histogram(
            "edgeproof_commit_seconds",
            "From the first byte written to the store to the committed transaction.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self._registry,
        )
        self._waiting = Gauge(
            "edgeproof_waiting_readings", "Readings that wait for a transaction.", registry=self._registry
        )
        self._requests = Counter(
            "edgeproof_http_requests",
            "Requests answered.",
            ["method", "endpoint", "status"],
            registry=self._registry,
        )

    def answered(self, outcome: str) -> None:
        """A reading got its answer."""
        self._readings.labels(outcome).inc()

    def committed(self, readings: int, seconds: float) -> None:
        """A recording transaction is committed."""
        self._batches.observe(readings)
        self._commits.observe(seconds)

    def waiting(self, readings: int) -> None:
        """So many readings wait now."""
        self._waiting.set(readings)

    def served(self, method: str, endpoint: str, status: int) -> None:
        """A request was answered."""
        self._requests.labels(method, endpoint, str(status)).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
