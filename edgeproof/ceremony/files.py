"""What a ceremony leaves on disk: the transcript and the modulus. Both are public; no secret is ever written.

The transcript file is a line that names the format and then parts, each after its length in four bytes: the
roster, one record a batch, and at the end the parties' signatures. A part is forced to disk before the party
says anything that follows from it; a part cut off by a crash is dropped at the next start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accumulator import InvalidParameters, Modulus
from accumulator.ceremony import CeremonyError, History, InvalidTranscript, Outcome, check_result, join, split
from accumulator.parameters import CEREMONY
from edgeproof.ceremony.roster import Roster
from edgeproof.errors import CeremonyFailed
from identity.errors import KeyStoreError
from identity.files import write_file
from protocol.encodings import decode, encode
from protocol.errors import EncodingError

__all__ = ["MODULUS_SCHEMA", "ModulusFile", "TranscriptFile", "load_modulus", "verify_transcript"]

MODULUS_SCHEMA = "edgeproof/modulus/v1"
_MAGIC = b"edgeproof/ceremony-transcript/v1\n"
_BATCH, _RESULT = b"B", b"R"
_MAX_TRANSCRIPT = 1 << 30


@dataclass(frozen=True)
class ModulusFile:
    """A ceremony's result, checkable by itself: every party signed N and the transcript's digest."""

    schema: str
    origin: str
    modulus: bytes
    """N, big-endian."""
    transcript: bytes
    """Digest of the transcript's batches, 32 bytes."""
    roster: Roster
    signatures: tuple[bytes, ...]

    def check(self) -> Modulus:
        """The modulus, if every party of the roster signed it.

        Raises:
            CeremonyFailed: the file contradicts itself, or a signature does not hold.
        """
        if self.schema != MODULUS_SCHEMA or self.origin != CEREMONY:
            raise CeremonyFailed(f"not a ceremony's modulus of {MODULUS_SCHEMA}")
        roster = self.roster.checked()
        try:
            digest, n = check_result(roster.settings, roster.verify, self.signatures)
            if (digest, n) != (self.transcript, int.from_bytes(self.modulus, "big")):
                raise CeremonyFailed("the parties signed another modulus or transcript than the file names")
            return Modulus(n, CEREMONY)
        except (CeremonyError, InvalidParameters) as error:
            raise CeremonyFailed(f"the modulus does not hold: {error}") from error

    @classmethod
    def of(cls, roster: Roster, signatures: Sequence[bytes]) -> ModulusFile:
        """The file of a finished ceremony.

        Raises:
            InvalidTranscript: the signatures do not hold.
        """
        digest, n = check_result(roster.settings, roster.verify, signatures)
        raw = n.to_bytes(roster.settings.number_bytes, "big")
        return cls(MODULUS_SCHEMA, CEREMONY, raw, digest, roster, tuple(signatures))

    def save(self, path: Path) -> None:
        """Write canonical JSON, atomically."""
        try:
            write_file(path, encode(self), mode=0o644)
        except KeyStoreError as error:
            raise CeremonyFailed(str(error)) from error


def load_modulus(path: Path) -> ModulusFile:
    """Read and check a modulus file.

    Raises:
        CeremonyFailed: unreadable, or as `ModulusFile.check`.
    """
    try:
        file = decode(ModulusFile, path.read_bytes())
    except (OSError, EncodingError) as error:
        raise CeremonyFailed(f"{path} is no modulus file: {error}") from error
    file.check()
    return file


class TranscriptFile:
    """A party's copy of the transcript while the ceremony goes on.

    Attributes:
        history: the finished batches, each checked when the file was opened.
    """

    def __init__(self, path: Path, roster: Roster) -> None:
        """Open or begin the file.

        Raises:
            CeremonyFailed: it belongs to another ceremony, or what it holds does not check.
        """
        self.path = path
        self.roster = roster
        self.history = History(roster.settings, roster.verify)
        self.signatures: tuple[bytes, ...] = ()
        if not path.exists():
            write_file(path, _MAGIC + join([roster.encode()]), mode=0o644)
        else:
            self._reopen()

    def _reopen(self) -> None:
        raw = self.path.read_bytes()
        whole = len(raw)
        while True:  # the last part may have been cut off
            try:
                parts = _parts(raw[:whole])
                break
            except InvalidTranscript:
                whole = _last_whole(raw)
        if whole < len(raw):
            os.truncate(self.path, whole)
        if parts[0] != self.roster.encode():
            raise CeremonyFailed(f"{self.path} is of another ceremony")
        try:
            self.signatures = _replay(self.history, parts[1:], None)
        except InvalidTranscript as error:
            raise CeremonyFailed(f"{self.path}: {error}") from error

    def add_batch(self, record: bytes) -> None:
        """Append a batch and force it to disk."""
        self._append(_BATCH + record)

    def add_result(self, signatures: Sequence[bytes]) -> None:
        """Append the parties' signatures, once."""
        if not self.signatures:
            self.signatures = tuple(signatures)
            self._append(_RESULT + join(list(signatures)))

    def _append(self, part: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(join([part]))
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class Verified:
    """A transcript that holds."""

    roster: Roster
    history: History
    modulus: ModulusFile | None
    """None while the ceremony is unfinished."""


def verify_transcript(path: Path, progress: Callable[[int, Outcome], None] | None = None) -> Verified:
    """Check a transcript offline, from its roster to its last signature.

    Every message's signature and place, every commitment, every N and every verdict of the biprimality test
    are checked, and every discarded candidate is computed again from the seeds that the parties opened.

    Raises:
        CeremonyFailed: it cannot be read or does not hold.
    """
    try:
        if path.stat().st_size > _MAX_TRANSCRIPT:
            raise CeremonyFailed(f"{path} is larger than {_MAX_TRANSCRIPT} bytes")
        parts = _parts(path.read_bytes())
        roster = Roster.read(parts[0])
        history = History(roster.settings, roster.verify)
        signatures = _replay(history, parts[1:], progress)
        if not signatures:
            return Verified(roster, history, None)
        modulus = ModulusFile.of(roster, signatures)
        modulus.check()
        if (modulus.transcript, int.from_bytes(modulus.modulus, "big")) != (history.head, history.modulus):
            raise CeremonyFailed("the parties signed another result than the transcript gives")
        return Verified(roster, history, modulus)
    except OSError as error:
        raise CeremonyFailed(f"{path} cannot be read: {error}") from error
    except CeremonyError as error:
        raise CeremonyFailed(f"{path} does not hold: {error}") from error


def _parts(raw: bytes) -> list[bytes]:
    if not raw.startswith(_MAGIC):
        raise CeremonyFailed("not a transcript of a ceremony")
    parts = split(raw[len(_MAGIC) :])
    if not parts:
        raise CeremonyFailed("a transcript without a roster")
    return parts


def _last_whole(raw: bytes) -> int:
    at = len(_MAGIC)
    while at + 4 <= len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        if end > len(raw):
            break
        at = end
    return at


def _replay(
    history: History, parts: Sequence[bytes], progress: Callable[[int, Outcome], None] | None
) -> tuple[bytes, ...]:
    signatures: tuple[bytes, ...] = ()
    for part in parts:
        if signatures:
            raise InvalidTranscript("a part after the signatures")
        if part[:1] == _BATCH:
            outcome = history.add(part[1:])
            if progress is not None:
                progress(history.height, outcome)
        elif part[:1] == _RESULT:
            signatures = tuple(split(part[1:]))
            check_result(history.settings, history.verify, signatures)
        else:
            raise InvalidTranscript("a part of no known kind")
    return signatures
