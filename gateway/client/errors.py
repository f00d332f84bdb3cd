"""What a device's client can meet.

::

    ClientError
    ├── Refused        the gateway answered with a problem: status, slug, detail, field
    ├── Unreachable    no answer after all attempts; the same reading may be sent again with its key
    └── BadAnswer      something answered that is no Edgeproof gateway, or not over TLS as the URL says
"""

from __future__ import annotations

__all__ = ["BadAnswer", "ClientError", "Refused", "Unreachable"]


class ClientError(Exception):
    """Root of the client's errors."""


class Refused(ClientError):
    """The gateway answered with a problem (RFC 9457).

    Attributes:
        status: HTTP status.
        slug: stable name of the problem, for example ``replayed-nonce``.
        detail: for people.
        field: the part of the request at fault, or None.
    """

    def __init__(self, status: int, slug: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{slug} ({status}): {detail}")
        self.status = status
        self.slug = slug
        self.detail = detail
        self.field = field


class Unreachable(ClientError):
    """No answer after all attempts. Whether the reading is recorded is not known: send it again as it is."""


class BadAnswer(ClientError):
    """Something answered that is no Edgeproof gateway, or not over TLS as the URL says."""
