"""Connections between all parties: TLS 1.3, both sides by pinned certificates, messages after their length.

The party with the higher number calls the one with the lower. A party that calls again has lost its old
connection, so the new one takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from edgeproof.ceremony.roster import Roster
from edgeproof.errors import CeremonyFailed
from identity.certificates import read_pem

__all__ = ["Connection", "Mesh"]

_log = logging.getLogger(__name__)
_RETRY = 0.25  # seconds between two calls of a party that does not answer
_HANDSHAKE = 30.0


class Connection:
    """One peer's connection: frames of four bytes of length and a body."""

    def __init__(
        self, party: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, largest: int
    ) -> None:
        self.party = party
        self._reader = reader
        self._writer = writer
        self._largest = largest

    async def read(self) -> bytes | None:
        """The next message; None where the connection has ended or was cut."""
        try:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > self._largest:
                _log.error("party %d sends a message of %d bytes: cut off", self.party, length)
                self.close()
                return None
            return await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return None

    async def write(self, message: bytes) -> None:
        """Send a message; a connection that has ended shows itself when reading."""
        with contextlib.suppress(OSError):
            self._writer.write(len(message).to_bytes(4, "big") + message)
            await self._writer.drain()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()

    @property
    def is_open(self) -> bool:
        """Whether it can still be used, as far as is known."""
        return not self._reader.at_eof() and not self._writer.is_closing()


class Mesh:
    """Makes the connections to all other parties, again after each loss."""

    def __init__(self, roster: Roster, me: int, identity: Path) -> None:
        self._roster = roster
        self._me = me
        self._certificates = {
            read_pem(seat.certificate.encode()).public_bytes(Encoding.DER): party
            for party, seat in enumerate(roster.parties, 1)
        }
        self._largest = roster.settings.largest_message
        self._incoming: dict[int, Connection] = {}
        self._changed = asyncio.Event()
        self._server_context = self._context(ssl.PROTOCOL_TLS_SERVER, identity)
        self._client_context = self._context(ssl.PROTOCOL_TLS_CLIENT, identity)
        self._server: asyncio.Server | None = None

    def _context(self, protocol: int, identity: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the certificate itself is pinned, see _party_of
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata="".join(seat.certificate for seat in self._roster.parties))
        try:
            context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        except (OSError, ssl.SSLError) as error:
            raise CeremonyFailed(f"the identity in {identity} cannot be used: {error}") from error
        return context

    async def listen(self, host: str, port: int) -> None:
        """Wait for calls.

        Raises:
            CeremonyFailed: the address is taken or not this machine's.
        """
        try:
            self._server = await asyncio.start_server(
                self._called, host, port, ssl=self._server_context, ssl_handshake_timeout=_HANDSHAKE
            )
        except OSError as error:
            raise CeremonyFailed(f"cannot listen on {host}:{port}: {error}") from error

    def _party_of(self, writer: asyncio.StreamWriter) -> int | None:
        tls = writer.get_extra_info("ssl_object")
        return None if tls is None else self._certificates.get(tls.getpeercert(binary_form=True))

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        party = self._party_of(writer)
        if party is None or party <= self._me:
            writer.close()
            return
        old = self._incoming.pop(party, None)
        if old is not None:
            old.close()
        self._incoming[party] = Connection(party, reader, writer, self._largest)
        self._changed.set()

    def called_anew(self) -> set[int]:
        """Parties that called since the last `connect`."""
        return set(self._incoming)

    async def connect(self, patience: float) -> dict[int, Connection]:
        """A connection to every other party.

        Raises:
            CeremonyFailed: somebody could not be reached in `patience` seconds; says who.
        """
        calls = {party: asyncio.create_task(self._call(party)) for party in range(1, self._me)}
        higher = set(range(self._me + 1, len(self._roster.parties) + 1))
        try:
            async with asyncio.timeout(patience):
                while any(p not in self._incoming or not self._incoming[p].is_open for p in higher):
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), 1.0)
                await asyncio.gather(*calls.values())
        except TimeoutError:
            missing = [p for p in higher if p not in self._incoming]
            missing += [p for p, call in calls.items() if not call.done() or call.cancelled()]
            names = ", ".join(self._roster.name(party) for party in sorted(missing))
            raise CeremonyFailed(f"not reached in {patience:.0f} s: {names or 'nobody by name'}") from None
        finally:
            for call in calls.values():
                call.cancel()
        called, self._incoming = self._incoming, {}
        return called | {party: call.result() for party, call in calls.items()}

    async def _call(self, party: int) -> Connection:
        seat = self._roster.parties[party - 1]
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    seat.host, seat.port, ssl=self._client_context, ssl_handshake_timeout=_HANDSHAKE
                )
            except (OSError, asyncio.IncompleteReadError) as error:
                _log.debug("%s does not answer: %s", seat.name, error)
            else:
                if self._party_of(writer) == party:
                    return Connection(party, reader, writer, self._largest)
                writer.close()
                _log.error("another party answers at %s's address", seat.name)
            await asyncio.sleep(_RETRY)

    def close(self) -> None:
        """Stop listening and drop calls that nobody took."""
        if self._server is not None:
            self._server.close()
        for connection in self._incoming.values():
            connection.close()
