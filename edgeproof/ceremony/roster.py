"""Who takes part in a ceremony, where they listen, and by which certificates they are known."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from accumulator.ceremony import InvalidSettings, InvalidTranscript, Settings
from edgeproof.errors import CeremonyFailed
from identity import (
    DevelopmentAuthority,
    IdentityError,
    InvalidSignature,
    Role,
    Signer,
    UntrustedCertificate,
    verify_ecdsa,
)
from identity.certificates import (
    common_name_of,
    organisation_of,
    read_pem,
    spki_of_certificate,
    subject_units,
    to_pem,
)
from identity.roles import classify_units
from protocol.encodings import decode, encode, tagged_hash
from protocol.errors import EncodingError

__all__ = ["ROSTER_SCHEMA", "Roster", "Seat", "default_batch", "make_identity", "seat_at", "seat_of"]

ROSTER_SCHEMA = "edgeproof/ceremony-roster/v1"
_SESSION_TAG = "edgeproof/ceremony/session/v1"
_ROUNDS = 100


def default_batch(bits: int) -> int:
    """Candidates a batch: enough that the arithmetic, not the waiting for messages, takes the time."""
    return 256 if bits >= 1536 else 128


@dataclass(frozen=True)
class Seat:
    """One party."""

    name: str
    host: str
    port: int
    certificate: str
    """PEM, P-256. It is pinned: TLS accepts it and no other, and its key signs the party's messages."""


@dataclass(frozen=True)
class Roster:
    """What every party of a ceremony must hold in the same bytes: its digest names the session."""

    schema: str
    bits: int
    batch: int
    rounds: int
    parties: tuple[Seat, ...]
    nonce: bytes
    """Makes two ceremonies of the same parties two sessions."""

    @classmethod
    def of(cls, seats: Sequence[Seat], bits: int, nonce: bytes, batch: int = 0) -> Roster:
        """A roster with the usual constants; checked.

        Raises:
            CeremonyFailed: as `read`.
        """
        roster = cls(ROSTER_SCHEMA, bits, batch or default_batch(bits), _ROUNDS, tuple(seats), nonce)
        return roster.checked()

    @classmethod
    def read(cls, raw: bytes) -> Roster:
        """Read a roster's canonical JSON.

        Raises:
            CeremonyFailed: not a roster, two parties share a name, address or key, or the settings are out of
                bounds.
        """
        try:
            return decode(cls, raw).checked()
        except EncodingError as error:
            raise CeremonyFailed(f"not a ceremony's roster: {error}") from error

    @classmethod
    def load(cls, path: Path) -> Roster:
        """Read a roster file.

        Raises:
            CeremonyFailed: unreadable, or as `read`.
        """
        try:
            return cls.read(path.read_bytes())
        except OSError as error:
            raise CeremonyFailed(f"{path} cannot be read: {error}") from error

    def encode(self) -> bytes:
        """Canonical JSON."""
        return encode(self)

    def checked(self) -> Roster:
        """This roster, if it can be used.

        Raises:
            CeremonyFailed: as `read`.
        """
        if self.schema != ROSTER_SCHEMA or len(self.nonce) != 32:
            raise CeremonyFailed(f"a roster of another kind than {ROSTER_SCHEMA}")
        try:
            _ = self.settings
            keys = set(self._keys)
        except (InvalidSettings, IdentityError) as error:
            raise CeremonyFailed(f"the roster cannot be used: {error}") from error
        for what, values in (
            ("name", {seat.name for seat in self.parties}),
            ("address", {(seat.host, seat.port) for seat in self.parties}),
            ("key", keys),
        ):
            if len(values) != len(self.parties):
                raise CeremonyFailed(f"two parties of the roster share a {what}")
        return self

    @cached_property
    def settings(self) -> Settings:
        """The protocol's constants."""
        session = tagged_hash(_SESSION_TAG, self.encode())
        return Settings(session, len(self.parties), self.bits, self.batch, self.rounds)

    @cached_property
    def _keys(self) -> list[bytes]:
        return [spki_of_certificate(read_pem(seat.certificate.encode())) for seat in self.parties]

    def name(self, party: int) -> str:
        """A party's name, with its number."""
        return f"{self.parties[party - 1].name} (party {party})"

    def number_of(self, signer: Signer) -> int:
        """Which party an identity is, from 1.

        Raises:
            CeremonyFailed: none.
        """
        for party, seat in enumerate(self.parties, 1):
            if seat.certificate == signer.certificate_pem.decode():
                return party
        raise CeremonyFailed(f"{signer.common_name} is no party of this ceremony")

    def verify(self, party: int, message: bytes, signature: bytes) -> None:
        """Check a party's signature.

        Raises:
            InvalidTranscript: there is no such party, or it did not sign that.
        """
        if not 1 <= party <= len(self.parties):
            raise InvalidTranscript(f"there is no party {party}")
        try:
            verify_ecdsa(self._keys[party - 1], message, signature)
        except InvalidSignature as error:
            raise InvalidTranscript(f"{self.name(party)} did not sign this: {error}") from error


def seat_of(signer: Signer, host: str, port: int) -> Seat:
    """A seat for an identity."""
    return seat_at(signer.certificate_pem, host, port)


def seat_at(certificate: bytes, host: str, port: int) -> Seat:
    """A seat for whoever holds the key of a PEM certificate.

    Raises:
        IdentityError: a party with this certificate could not take part: it is unreadable, or its subject
            names no organisation (O), node class (OU, such as admin) or name (CN), or its key is not P-256.
    """
    read = read_pem(certificate, strict=False)
    spki_of_certificate(read)
    classify_units(subject_units(read))
    if organisation_of(read) is None:
        raise UntrustedCertificate("subject names no organisation (O)")
    return Seat(common_name_of(read), host, port, to_pem(read).decode())


def make_identity(name: str, folder: Path) -> Signer:
    """A new key and certificate for a party, below `folder`; the authority that issued it is thrown away.

    Raises:
        KeyStoreError: the disk refuses.
        MalformedIdentity: `name` cannot stand in a certificate.
    """
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="edgeproof-ceremony-") as scratch:
        authority = DevelopmentAuthority.create(name, Path(scratch) / "authority", now=now)
        signer = authority.issue(name, Role.ADMIN, now=now)
    signer.save(folder)
    return signer
