"""One party's process: connects, runs sessions until the ceremony is done, keeps the public files.

Secrets live in the session alone. When a connection is lost, the session is dropped with the batch that was
under way, and the parties begin that batch anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from accumulator.ceremony import (
    Aborted,
    BatchFinished,
    CeremonyError,
    Command,
    Disagreement,
    Finished,
    Misbehaviour,
    Progress,
    Send,
    Session,
)
from edgeproof.ceremony.files import ModulusFile, TranscriptFile
from edgeproof.ceremony.mesh import Connection, Mesh
from edgeproof.ceremony.roster import Roster
from edgeproof.errors import CeremonyFailed
from identity import Signer
from identity.files import write_file
from protocol.encodings import canonical_json

__all__ = ["ABORT_FILE", "MODULUS_FILE", "TRANSCRIPT_FILE", "Party", "run_party"]

TRANSCRIPT_FILE = "transcript.bin"
MODULUS_FILE = "modulus.json"
ABORT_FILE = "abort.json"
_LINGER = 5.0  # seconds in which the others may read what ended the ceremony


class _Lost(Exception):
    """A connection ended, or a party fell silent."""


@dataclass
class Party:
    """What one party's process needs.

    Attributes:
        identity: folder with `cert.pem` and `key.pem` of the party.
        out: folder for transcript, modulus or abort report; the parties' own.
        patience: seconds to wait for a party before giving it up.
        report: takes a line for people.
    """

    roster: Roster
    identity: Path
    out: Path
    patience: float
    report: Callable[[str], None]
    listen: tuple[str, int] | None = None
    """Where to listen, if not at the roster's address (behind a forwarding router)."""


def run_party(party: Party) -> ModulusFile:
    """Take part until the ceremony ends.

    Raises:
        CeremonyFailed: it was aborted (`abort.json` says why and by whom), or a party stayed away.
    """
    return asyncio.run(_Runner(party).run())


class _Runner:
    def __init__(self, party: Party) -> None:
        self._party = party
        self._signer = Signer.load(party.identity)
        self._me = party.roster.number_of(self._signer)
        party.out.mkdir(parents=True, exist_ok=True)
        self._transcript = TranscriptFile(party.out / TRANSCRIPT_FILE, party.roster)
        self._result: ModulusFile | None = None
        self._confirmed = False
        self._queue: asyncio.Queue[tuple[int, bytes | None]] = asyncio.Queue()
        if self._transcript.signatures:
            self._keep_result(self._transcript.signatures)

    async def run(self) -> ModulusFile:
        party, settings = self._party, self._party.roster.settings
        seat = party.roster.parties[self._me - 1]
        mesh = Mesh(party.roster, self._me, party.identity)
        await mesh.listen(*(party.listen or (seat.host, seat.port)))
        party.report(
            f"{seat.name}: party {self._me} of {settings.parties}, {settings.bits} bits, "
            f"about {settings.expected_candidates:,.0f} candidates expected; session {settings.session.hex()}"
        )
        try:
            while not self._confirmed:
                try:
                    # With the result in hand this party waits only to hand it to others.
                    patience = party.patience if self._result is None else min(party.patience, _LINGER)
                    connections = await mesh.connect(patience)
                except CeremonyFailed:
                    if self._result is not None:
                        break  # the result is complete; who stayed away can be given the modulus file
                    raise
                try:
                    await self._epoch(mesh, connections)
                except _Lost as loss:
                    party.report(f"{seat.name}: {loss}; connecting anew")
                finally:
                    for connection in connections.values():
                        connection.close()
        finally:
            mesh.close()
        assert self._result is not None
        return self._result

    async def _epoch(self, mesh: Mesh, connections: dict[int, Connection]) -> None:
        self._queue = asyncio.Queue()
        readers = [asyncio.create_task(self._read(connection)) for connection in connections.values()]
        session = Session(self._me, self._transcript.history, self._signer.sign, secrets.token_bytes)
        try:
            await self._carry_out(session.start(), connections)
            while not session.closed:
                if again := mesh.called_anew():
                    raise _Lost(f"{self._party.roster.name(min(again))} calls anew")
                sender, message = await self._next(session)
                if message is None:
                    if self._result is not None and sender not in session.waiting_for():
                        continue  # it has said that it is done, and is gone
                    raise _Lost(f"lost {self._party.roster.name(sender)}")
                await self._carry_out(session.receive(sender, message), connections)
        except _Lost as loss:
            if session.accusation:
                raise self._failed(Disagreement(session.accusation)) from loss
            raise
        except CeremonyFailed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*readers), _LINGER)
            raise
        finally:
            session.close()
            for reader in readers:
                reader.cancel()

    async def _read(self, connection: Connection) -> None:
        while True:
            message = await connection.read()
            self._queue.put_nowait((connection.party, message))
            if message is None:
                return

    async def _next(self, session: Session) -> tuple[int, bytes | None]:
        try:
            return await asyncio.wait_for(self._queue.get(), self._party.patience)
        except TimeoutError:
            names = ", ".join(self._party.roster.name(party) for party in session.waiting_for())
            raise _Lost(f"nothing from {names} for {self._party.patience:.0f} s") from None

    async def _carry_out(self, commands: Iterable[Command], connections: dict[int, Connection]) -> None:
        aborted: CeremonyError | None = None
        for command in commands:
            if isinstance(command, Send):
                try:
                    await asyncio.wait_for(
                        connections[command.to].write(command.message), self._party.patience
                    )
                except TimeoutError:
                    raise _Lost(f"{self._party.roster.name(command.to)} takes no message") from None
            elif isinstance(command, Progress):
                self._report_round(command)
            elif isinstance(command, BatchFinished):
                self._transcript.add_batch(command.record)
                self._report_batch(command)
            elif isinstance(command, Finished):
                self._transcript.add_result(command.signatures)
                self._keep_result(command.signatures)
                self._confirmed = command.confirmed
            elif isinstance(command, Aborted):
                aborted = command.error
        if aborted is not None:
            raise self._failed(aborted) from aborted

    def _keep_result(self, signatures: Iterable[bytes]) -> None:
        self._result = ModulusFile.of(self._party.roster, tuple(signatures))
        self._result.save(self._party.out / MODULUS_FILE)

    def _failed(self, error: CeremonyError) -> CeremonyFailed:
        roster = self._party.roster
        named = error.party if isinstance(error, Misbehaviour) else None
        text = f"{roster.name(error.party)} {error.reason}" if isinstance(error, Misbehaviour) else str(error)
        report = {
            "schema": "edgeproof/ceremony-abort/v1",
            "session": roster.settings.session.hex(),
            "party": named,
            "name": roster.parties[named - 1].name if named is not None else None,
            "reason": text,
            "evidence": error.evidence.hex() if isinstance(error, Misbehaviour) else "",
        }
        write_file(self._party.out / ABORT_FILE, canonical_json(report), mode=0o644)
        return CeremonyFailed(f"the ceremony was aborted: {text}")

    def _report_round(self, progress: Progress) -> None:
        if progress.candidates and progress.candidates < self._party.roster.batch:
            self._party.report(
                f"batch {progress.number + 1}: {progress.kind.name.lower()} of {progress.candidates}"
            )

    def _report_batch(self, finished: BatchFinished) -> None:
        outcomes = self._transcript.history.outcomes
        total = sum(outcome.candidates for outcome in outcomes)
        tested = sum(outcome.tested for outcome in outcomes)
        found = "; N found" if finished.outcome.modulus else ""
        self._party.report(
            f"batch {len(outcomes)}: {total} candidates, {tested} tested for biprimality{found}"
        )
