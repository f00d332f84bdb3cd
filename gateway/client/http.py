"""One gateway over HTTP: attempts, waiting between them, problems as errors."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import requests

from gateway.client.errors import BadAnswer, Refused, Unreachable

__all__ = ["Transport"]

_PREFIX: Final = "urn:edgeproof:problem:"
_AGAIN: Final = frozenset({408, 502, 503, 504})
_LONGEST_WAIT: Final = 5.0
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL calls an answer that is no TLS record, by version."""


class Transport:
    """Requests to one gateway.

    A request is sent again, byte by byte the same, when the connection fails or the gateway is busy. That is
    harmless: readings carry an Idempotency-Key, and what owners authorise is good for one use.

    Args:
        url: of the gateway, for example ``http://127.0.0.1:8443``.
        timeout: seconds for one attempt.
        attempts: how often a request is sent at most.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        attempts: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._attempts = attempts
        self._sleep = sleep
        self._session = requests.Session()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send until there is an answer that is not "try again".

        Returns:
            An answer below 400.

        Raises:
            Refused: a problem.
            Unreachable: no answer after all attempts.
            BadAnswer: an error that is no problem document; or no TLS, or a certificate that is not trusted.
        """
        last, asked = "", 0.0
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(min(_LONGEST_WAIT, max(asked, 0.1 * 2 ** (attempt - 1))))
            try:
                response = self._session.request(
                    method,
                    self._url + path,
                    data=body,
                    headers=dict(headers or {}),
                    params=dict(query or {}),
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                last, asked = _reason(self._url, error), 0.0
                continue
            if response.status_code in _AGAIN and attempt + 1 < self._attempts:
                last, asked = str(response.status_code), _retry_after(response)
                continue
            if response.status_code >= 300:
                raise _refused(response)
            return response
        raise Unreachable(f"{self._url} does not answer after {self._attempts} attempts ({last})")

    def json(self, method: str, path: str, value: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Send JSON (or nothing), read JSON; errors as ``request``."""
        body = None if value is None else json.dumps(value, separators=(",", ":")).encode()
        headers = {} if value is None else {"Content-Type": "application/json"}
        return read_json(self.request(method, path, body=body, headers=headers, query=query))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def read_json(response: requests.Response) -> Any:
    """The answer's JSON.

    Raises:
        BadAnswer: it is none.
    """
    try:
        return response.json()
    except ValueError as error:
        raise BadAnswer(f"{response.url} does not answer with JSON") from error


def _reason(url: str, error: requests.RequestException) -> str:
    """Why there was no answer, in the system's own words where it gave some.

    Raises:
        BadAnswer: no further attempt would help.
    """
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise BadAnswer(f"the certificate of {url} is not trusted: {cause.verify_message}") from error
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        raise BadAnswer(f"{url} does not speak TLS; a gateway without it is http://…") from error
    return cause.strerror if isinstance(cause, OSError) and cause.strerror else type(error).__name__


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _refused(response: requests.Response) -> Refused | BadAnswer:
    if response.headers.get("Content-Type", "").split(";")[0].strip() == "application/problem+json":
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if isinstance(problem, dict):
            return refused(problem)
    return BadAnswer(f"{response.url} answers {response.status_code} without a problem document")


def refused(problem: Mapping[str, Any]) -> Refused:
    """The error that a problem document stands for."""
    status = problem.get("status")
    field = problem.get("field")
    return Refused(
        status if isinstance(status, int) else 0,
        str(problem.get("type", "")).removeprefix(_PREFIX),
        str(problem.get("detail", "")),
        field if isinstance(field, str) else None,
    )
