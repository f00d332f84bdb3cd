"""Roster, transcript and modulus files: what is accepted, what is refused, what a crash leaves."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accumulator.ceremony import BatchFinished, Finished, History, Send, Session
from edgeproof.ceremony.files import ModulusFile, TranscriptFile, load_modulus, verify_transcript
from edgeproof.ceremony.roster import Roster, Seat, seat_of
from edgeproof.deployment import Deployment, Plan
from edgeproof.errors import CeremonyFailed, DeploymentError
from identity import DevelopmentAuthority, Role, Signer
from protocol.encodings import encode

NONCE = bytes(range(32))


def make_signers(folder: Path, count: int) -> list[Signer]:
    now = datetime.now(UTC)
    authority = DevelopmentAuthority.create("parties", folder / "authority", now=now)
    return [authority.issue(f"party-{number}", Role.ADMIN, now=now) for number in range(1, count + 1)]


class Made:
    """A finished ceremony of three in this process, with real keys."""

    def __init__(self, folder: Path) -> None:
        self.signers = make_signers(folder, 3)
        self.seats = [seat_of(signer, "127.0.0.1", 7000 + i) for i, signer in enumerate(self.signers)]
        self.roster = Roster.of(self.seats, 512, NONCE, 64)
        self.path = folder / "transcript.bin"
        self.file = TranscriptFile(self.path, self.roster)
        source = random.Random(2)
        histories = [self.file.history] + [
            History(self.roster.settings, self.roster.verify) for _ in range(2)
        ]
        sessions = [Session(i + 1, histories[i], self.signers[i].sign, source.randbytes) for i in range(3)]
        waiting: list[tuple[int, Send]] = []

        def take(party: int, commands: list[object]) -> None:
            for command in commands:
                if isinstance(command, Send):
                    waiting.append((party, command))
                elif party == 1 and isinstance(command, BatchFinished):
                    self.file.add_batch(command.record)
                elif party == 1 and isinstance(command, Finished):
                    self.file.add_result(command.signatures)

        for i, session in enumerate(sessions):
            take(i + 1, list(session.start()))
        while waiting:
            sender, sent = waiting.pop(0)
            take(sent.to, list(sessions[sent.to - 1].receive(sender, sent.message)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("ceremony"))


def test_a_transcript_verifies_offline_and_gives_the_modulus(made: Made, tmp_path: Path) -> None:
    verified = verify_transcript(made.path)
    assert verified.modulus is not None
    path = tmp_path / "modulus.json"
    verified.modulus.save(path)
    loaded = load_modulus(path)
    assert loaded == verified.modulus
    modulus = loaded.check()
    assert (modulus.origin, modulus.n.bit_length()) == ("ceremony", 512)


def test_any_altered_byte_of_a_transcript_is_refused(made: Made, tmp_path: Path) -> None:
    raw = made.path.read_bytes()
    source = random.Random(4)
    for at in [source.randrange(len(raw)) for _ in range(25)]:
        path = tmp_path / "altered.bin"
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(CeremonyFailed):
            verify_transcript(path)


def test_a_part_that_a_crash_cut_off_is_dropped_when_going_on(made: Made, tmp_path: Path) -> None:
    raw = made.path.read_bytes()
    whole = TranscriptFile(made.path, made.roster).history.height
    path = tmp_path / "cut.bin"
    path.write_bytes(raw[:-10])  # within the signatures
    reopened = TranscriptFile(path, made.roster)
    assert (reopened.history.height, reopened.signatures) == (whole, ())
    path.write_bytes(path.read_bytes()[:-10])  # within the last batch
    again = TranscriptFile(path, made.roster)
    assert again.history.height == whole - 1
    assert TranscriptFile(path, made.roster).history.head == again.history.head


def test_a_transcript_of_another_ceremony_is_not_gone_on_with(made: Made) -> None:
    other = Roster.of(made.seats, 512, bytes(32), 64)
    with pytest.raises(CeremonyFailed, match="another ceremony"):
        TranscriptFile(made.path, other)


@pytest.mark.parametrize("field", ["modulus", "transcript", "signatures", "origin", "schema", "roster"])
def test_a_modulus_file_with_one_changed_field_is_refused(made: Made, tmp_path: Path, field: str) -> None:
    good = verify_transcript(made.path).modulus
    assert good is not None
    changes = {
        "modulus": (int.from_bytes(good.modulus, "big") + 2).to_bytes(64, "big"),
        "transcript": bytes(32),
        "signatures": good.signatures[:2],
        "origin": "dealer-for-tests",
        "schema": "edgeproof/modulus/v2",
        "roster": dataclasses.replace(good.roster, nonce=bytes(32)),
    }
    wrong = dataclasses.replace(good, **{field: changes[field]})  # type: ignore[arg-type]
    path = tmp_path / "modulus.json"
    path.write_bytes(encode(wrong))
    with pytest.raises(CeremonyFailed):
        load_modulus(path)


def test_a_strangers_ceremony_cannot_be_passed_off_for_a_rosters(made: Made, tmp_path: Path) -> None:
    good = verify_transcript(made.path).modulus
    assert good is not None
    others = [seat_of(signer, "127.0.0.1", 7000 + i) for i, signer in enumerate(make_signers(tmp_path, 3))]
    with pytest.raises(CeremonyFailed):
        dataclasses.replace(good, roster=Roster.of(others, 512, NONCE, 64)).check()


def test_a_roster_with_two_of_anything_is_refused(made: Made) -> None:
    first, second, third = made.seats
    for wrong in (
        dataclasses.replace(third, name=first.name),
        dataclasses.replace(third, port=first.port),
        dataclasses.replace(third, certificate=first.certificate),
        dataclasses.replace(third, certificate="no certificate"),
    ):
        with pytest.raises(CeremonyFailed):
            Roster.of([first, second, wrong], 512, NONCE)
    with pytest.raises(CeremonyFailed, match="parties"):
        Roster.of([first, second], 512, NONCE)
    assert Roster.read(made.roster.encode()) == made.roster
    for raw in (b"", b"{}", b"\xff", made.roster.encode()[:-1]):
        with pytest.raises(CeremonyFailed):
            Roster.read(raw)


def test_who_is_not_in_the_roster_has_no_number(made: Made, tmp_path: Path) -> None:
    assert [made.roster.number_of(signer) for signer in made.signers] == [1, 2, 3]
    (stranger,) = make_signers(tmp_path, 1)
    with pytest.raises(CeremonyFailed, match="no party"):
        made.roster.number_of(stranger)


def test_a_deployment_refuses_a_short_modulus_and_files_that_are_none(made: Made, tmp_path: Path) -> None:
    good = verify_transcript(made.path).modulus
    assert good is not None
    good.save(tmp_path / "modulus.json")
    deployment = Deployment.prepare(tmp_path / "deployment", Plan.standard(1))
    with pytest.raises(DeploymentError, match="2048"):
        deployment.keep_modulus(tmp_path / "modulus.json")
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(CeremonyFailed):
        deployment.keep_modulus(tmp_path / "none.json")
    assert deployment.modulus.origin == "rsa-2048-challenge"


def test_no_secret_of_a_ceremony_is_in_its_files(made: Made) -> None:
    """The accepted candidate's seeds are the only ones that a transcript must not hold: it has one fewer."""
    from accumulator.ceremony import Kind
    from accumulator.ceremony.messages import Envelope, split

    last = made.file.history.records[-1]
    openings = [message for message in map(Envelope.decode, split(last)) if message.kind is Kind.OPEN]
    assert [len(message.body or b"") for message in openings] == [32 * 63] * 3
    private = {Kind.SIEVE, Kind.PRODUCT, Kind.GCD}
    assert not [
        m
        for record in made.file.history.records
        for m in map(Envelope.decode, split(record))
        if m.kind in private
    ]


def test_seats_are_seats(made: Made) -> None:
    assert all(isinstance(seat, Seat) for seat in made.roster.parties)
    assert isinstance(verify_transcript(made.path).modulus, ModulusFile)


CHECKER = Path(__file__).resolve().parents[1] / "vectors" / "ceremony" / "check.py"
MODULUS = CHECKER.parents[1] / "ceremony_modulus.json"


def independently(path: Path) -> subprocess.CompletedProcess[str]:
    """What the checker in plain integers says: -I -S keep gmpy2 and this project out of its reach."""
    command = [sys.executable, "-I", "-S", str(CHECKER), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_independent_checker_finds_the_same_modulus(made: Made, tmp_path: Path) -> None:
    verified = verify_transcript(made.path)
    assert verified.modulus is not None
    verified.modulus.save(tmp_path / "modulus.json")
    for path in (made.path, tmp_path / "modulus.json"):
        done = independently(path)
        assert (done.returncode, done.stdout) == (0, f"{verified.modulus.modulus.hex()}\n"), done.stderr
    assert independently(MODULUS).stdout == f"{load_modulus(MODULUS).modulus.hex()}\n"


def test_the_independent_checker_refuses_what_was_altered(made: Made, tmp_path: Path) -> None:
    raw, source = made.path.read_bytes(), random.Random(3)
    path = tmp_path / "altered"
    for at in [40, len(raw) - 1, *(source.randrange(33, len(raw)) for _ in range(6))]:
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        assert independently(path).returncode == 1, at
    text = MODULUS.read_text()
    for old, new in (
        ('"modulus":"d', '"modulus":"e'),
        ("parties", "partner"),
        ('"port":45757', '"port":45758'),
    ):
        path.write_text(text.replace(old, new, 1))
        assert independently(path).returncode == 1, old
