"""Problems: what the gateway answers when it does not do what was asked (RFC 9457). Imports no framework.

The ``type`` of a problem is ``urn:edgeproof:problem:<slug>``. Slugs are stable: programs decide by them,
people read ``detail``. ``field`` names the part of the request that is at fault: a header, a query parameter,
or the JSON path of a body's field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = ["MEDIA_TYPE", "PROBLEMS", "TYPE_PREFIX", "Problem", "Refusal"]

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:edgeproof:problem:"

PROBLEMS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        # The request itself.
        "bad-request": (400, "The request cannot be read"),
        "request-timeout": (408, "The request did not come in time"),
        "malformed-json": (400, "The body is not JSON"),
        "malformed-headers": (400, "The signature's header fields are not in their form"),
        "digest-mismatch": (400, "The digest is not that of the bytes"),
        "not-found": (404, "There is nothing under this address"),
        "method-not-allowed": (405, "This address does not know the method"),
        "not-acceptable": (406, "None of the accepted media types can be given"),
        "too-large": (413, "The request is too large"),
        "unsupported-media-type": (415, "The body is of the wrong media type"),
        "invalid-request": (422, "A part of the request is not as the interface asks"),
        "request-failed": (400, "The request cannot be served"),
        # A reading.
        "malformed": (422, "A field of the reading is outside its grammar"),
        "wrong-chain": (422, "The reading is signed for another chain"),
        "wrong-algorithm": (403, "The enrolled key is of another algorithm"),
        "bad-signature": (403, "The signature does not verify"),
        "unknown-device": (403, "The device is not enrolled"),
        "suspended-device": (403, "The device is suspended"),
        "retired-device": (403, "The device is retired"),
        "unknown-grant": (403, "The gateway has no grant of the device"),
        "revoked-grant": (403, "The grant is taken back"),
        "stale": (422, "The reading was signed too long ago"),
        "future": (422, "The reading was signed in the future"),
        "replayed-nonce": (409, "The device used this nonce before"),
        "idempotency-key-reused": (422, "The idempotency key belongs to another reading"),
        # What the contracts refuse.
        "refused-by-contract": (422, "The contract refuses"),
        "access-denied": (403, "The contract does not let the caller do this"),
        "invalid-authorisation": (403, "The authorisation does not verify"),
        "conflict": (409, "The state does not allow it"),
        "already-exists": (409, "It exists already"),
        "invalid-argument": (422, "The contract cannot read the request"),
        # The operator's own addresses.
        "not-authorised": (401, "The operator's token is not shown"),
        # What is not there, or not yet.
        "unknown-record": (404, "No such record"),
        "unknown-chain": (404, "This gateway does not know the chain"),
        "unknown-anchor": (404, "No such anchor"),
        "unknown-element": (404, "No such element"),
        "unknown-run": (404, "No such run"),
        "not-provided": (404, "This gateway does not offer it"),
        "pending": (409, "Not anchored yet"),
        "content-missing": (404, "The bytes are not held here"),
        # Faults of ours.
        "content-corrupt": (500, "The bytes held here are damaged"),
        "internal-error": (500, "A fault of the gateway"),
        "overloaded": (503, "Too many readings are waiting"),
        "proofs-overloaded": (503, "Too many proofs are waiting"),
        "draining": (503, "The gateway is shutting down"),
        "store-unavailable": (503, "The store does not take the bytes"),
        "ledger-unavailable": (503, "The chain does not answer"),
        "outcome-unknown": (503, "Whether it was recorded is not known"),
        "not-ready": (503, "A part that the gateway needs does not answer"),
    }
)
"""Slug to status and title."""


@dataclass(frozen=True)
class Problem:
    """One problem."""

    slug: str
    detail: str
    field: str | None = None
    retry_after: int | None = None
    """Seconds after which another attempt makes sense."""
    status: int = 0
    """Only where it differs from the slug's own (a framework's rarer codes)."""

    def __post_init__(self) -> None:
        status, _ = PROBLEMS[self.slug]
        if not self.status:
            object.__setattr__(self, "status", status)

    def to_json(self) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.slug,
            "title": PROBLEMS[self.slug][1],
            "status": self.status,
            "detail": self.detail,
        }
        if self.field is not None:
            document["field"] = self.field
        return document


class Refusal(Exception):
    """Raised by whatever serves a request; answered as its problem."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after: int | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(slug, detail, field, retry_after, status)
