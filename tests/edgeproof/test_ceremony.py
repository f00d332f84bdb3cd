"""Ceremonies among real processes over mutual TLS: finished, killed, refused, deviating."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from accumulator.ceremony import Kind, Session
from edgeproof.ceremony import runner
from edgeproof.ceremony.files import load_modulus, verify_transcript
from edgeproof.ceremony.local import make_local, run_local
from edgeproof.ceremony.mesh import Mesh
from edgeproof.ceremony.runner import ABORT_FILE, Party, run_party
from edgeproof.errors import CeremonyFailed

PATIENCE = 20.0


def in_threads(out: Path, roster, patience=PATIENCE, report=lambda line: None):
    """Every party in a thread of this process; returns what each answered or raised."""
    answers: dict[int, object] = {}

    def one(number: int) -> None:
        folder = out / f"party-{number}"
        try:
            answers[number] = run_party(Party(roster, folder / "identity", folder, patience, report))
        except CeremonyFailed as error:
            answers[number] = error

    threads = [threading.Thread(target=one, args=(i,)) for i in range(1, len(roster.parties) + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_parties_over_tls_make_one_modulus_and_a_transcript_that_verifies(tmp_path: Path) -> None:
    roster = make_local(tmp_path, 3, 512, 64)
    answers = in_threads(tmp_path, roster)
    moduli = {answer.modulus for answer in answers.values()}  # type: ignore[union-attr]
    assert len(moduli) == 1
    for number in (1, 2, 3):
        verified = verify_transcript(tmp_path / f"party-{number}" / "transcript.bin")
        assert verified.modulus == load_modulus(tmp_path / f"party-{number}" / "modulus.json")


def test_a_party_whose_shares_are_inconsistent_is_named_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ceremony_parties import Deviating

    def change(kind, number, index, recipient, body):
        wrong = kind is Kind.PRODUCT and recipient == 1
        return body[:-1] + bytes([body[-1] ^ 1]) if wrong else body

    def choose(me, history, sign, randomness):
        if me != 2:
            return Session(me, history, sign, randomness)
        session = Deviating(me, history, sign, randomness)
        session.change = change
        return session

    monkeypatch.setattr(runner, "Session", choose)
    monkeypatch.setattr(runner, "_LINGER", 0.5)
    roster = make_local(tmp_path, 3, 512, 16)
    answers = in_threads(tmp_path, roster)
    assert all(isinstance(answer, CeremonyFailed) for answer in answers.values())
    report = json.loads((tmp_path / "party-1" / ABORT_FILE).read_text())
    assert (report["party"], report["name"]) == (2, "party-2")
    assert "shares" in report["reason"]
    assert report["evidence"]
    assert not (tmp_path / "party-1" / "modulus.json").exists()


def test_secrets_reach_neither_disk_nor_logs_nor_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every file and line is searched for the seeds, parts and factors of the accepted candidate."""
    from accumulator.ceremony import party as protocol
    from accumulator.ceremony.candidates import Candidate, simulate

    drawn: dict[int, list[bytes]] = {1: [], 2: [], 3: []}

    class Recorded(Candidate):
        __slots__ = ()

        def __init__(self, settings, party, seed) -> None:
            drawn[party].append(seed)
            super().__init__(settings, party, seed)

    monkeypatch.setattr(protocol, "Candidate", Recorded)
    caplog.set_level(logging.DEBUG)
    roster = make_local(tmp_path, 3, 512, 64)
    lines: list[str] = []
    answers = in_threads(tmp_path, roster, report=lines.append)
    assert sum(roster.settings.session.hex() in line for line in lines) == 3  # each can be compared
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    everything = b"\n".join([*files.values(), caplog.text.encode(), "\n".join(lines).encode()])
    opened = [[seed for seed in seeds if seed in everything] for seeds in drawn.values()]
    accepted = [
        [seed for seed in seeds if seed not in known]
        for seeds, known in zip(drawn.values(), opened, strict=True)
    ]
    assert all(opened)  # what was discarded is public: the search finds what is there
    assert [len(seeds) for seeds in accepted] == [1, 1, 1]
    secret = simulate(roster.settings, [seed for (seed,) in accepted]).candidates
    p, q = (sum(int(getattr(each, name)) for each in secret) for name in "pq")
    assert (p * q).to_bytes(64, "big") == answers[1].modulus  # type: ignore[attr-defined]
    for number in (p, q, *(int(getattr(each, name)) for each in secret for name in "pq")):
        raw = number.to_bytes(-(-number.bit_length() // 8), "big")
        for spelling in (raw, raw[::-1], raw.hex().encode(), str(number).encode()):
            assert spelling not in everything
    for (seed,) in accepted:
        assert seed.hex().encode() not in everything


def test_a_party_that_stays_away_is_named(tmp_path: Path) -> None:
    roster = make_local(tmp_path, 3, 512, 64)
    folder = tmp_path / "party-1"
    with pytest.raises(CeremonyFailed, match=r"party-2 \(party 2\), party-3 \(party 3\)"):
        run_party(Party(roster, folder / "identity", folder, 1.0, lambda line: None))
    with pytest.raises(CeremonyFailed, match=r"party-1 \(party 1\)"):
        run_party(
            Party(roster, tmp_path / "party-2" / "identity", tmp_path / "party-2", 1.0, lambda line: None)
        )


def test_a_stranger_gets_no_connection(tmp_path: Path) -> None:
    """Another authority's certificate, and none at all, are refused by TLS; an old TLS too."""
    import ssl

    roster = make_local(tmp_path / "a", 3, 512, 64)
    make_local(tmp_path / "b", 3, 512, 64)

    def context(identity: Path | None, version: ssl.TLSVersion) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.maximum_version = version
        if identity is not None:
            made.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        return made

    async def attempt(identity: Path | None, version: ssl.TLSVersion) -> bool:
        mesh = Mesh(roster, 1, tmp_path / "a" / "party-1" / "identity")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        await mesh.listen("127.0.0.1", port)
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context(identity, version))
            await asyncio.sleep(0.1)
            writer.close()
        except (ssl.SSLError, OSError):
            pass
        await asyncio.sleep(0.05)
        taken = bool(mesh.called_anew())
        mesh.close()
        return taken

    own = tmp_path / "a" / "party-2" / "identity"
    assert asyncio.run(attempt(own, ssl.TLSVersion.TLSv1_3))
    assert not asyncio.run(attempt(own, ssl.TLSVersion.TLSv1_2))
    assert not asyncio.run(attempt(tmp_path / "b" / "party-2" / "identity", ssl.TLSVersion.TLSv1_3))
    assert not asyncio.run(attempt(None, ssl.TLSVersion.TLSv1_3))
    # The lower number is called, it does not call.
    assert not asyncio.run(attempt(tmp_path / "a" / "party-1" / "identity", ssl.TLSVersion.TLSv1_3))


def test_a_killed_party_is_started_again_and_the_ceremony_finishes(tmp_path: Path) -> None:
    make_local(tmp_path, 3, 512, 32)
    lines: list[str] = []
    killed = threading.Event()
    now: list[subprocess.Popen[str]] = []

    def report(line: str) -> None:
        lines.append(line)
        if line.startswith("batch 1: promise") and not killed.is_set():
            killed.set()
            os.kill(now[1].pid, signal.SIGKILL)

    def started(processes) -> None:
        now[:] = processes

    result = run_local(tmp_path, 3, PATIENCE, report, started)
    assert killed.is_set()
    assert any("starting it again" in line for line in lines)
    assert any("connecting anew" in line for line in lines)
    for number in (1, 2, 3):
        verified = verify_transcript(tmp_path / f"party-{number}" / "transcript.bin")
        assert verified.modulus == result


def test_the_command_runs_verifies_and_shows(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgeproof.cli import app

    def edgeproof(*arguments: str):
        return CliRunner().invoke(app, ["ceremony", *arguments])

    made = edgeproof("run", str(tmp_path / "c"), "--bits", "512", "--batch", "256")
    assert made.exit_code == 0, made.output
    transcript = tmp_path / "c" / "party-3" / "transcript.bin"
    modulus = tmp_path / "c" / "modulus.json"
    verified = edgeproof(
        "verify", str(transcript), "--modulus", str(modulus), "--roster", str(tmp_path / "c" / "roster.json")
    )
    assert verified.exit_code == 0, verified.output
    assert "verified: 3 parties signed 512 bits" in verified.output
    shown = edgeproof("show", str(modulus))
    assert "1 learn nothing, 2 can factor it" in shown.output
    raw = transcript.read_bytes()
    transcript.write_bytes(raw[:-500] + bytes([raw[-500] ^ 1]) + raw[-499:])
    refused = edgeproof("verify", str(transcript))
    assert isinstance(refused.exception, CeremonyFailed)


@pytest.mark.parametrize("option", ["--parties=4", "--bits=1024", "--batch=64", "--batch=0"])
def test_a_folder_that_holds_another_ceremony_is_refused(tmp_path: Path, option: str) -> None:
    from typer.testing import CliRunner

    from edgeproof.cli import app

    roster = make_local(tmp_path, 3, 512, 16)
    refused = CliRunner().invoke(app, ["ceremony", "run", str(tmp_path), option])
    assert isinstance(refused.exception, CeremonyFailed)
    assert "holds a ceremony with" in str(refused.exception)
    assert make_local(tmp_path) == make_local(tmp_path, 3, 512, 16) == roster


def test_a_roster_is_made_from_certificates(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgeproof.ceremony.roster import Roster
    from edgeproof.cli import app

    make_local(tmp_path, 3, 512)
    seats = [
        f"host-{number}:70{number}0={tmp_path / f'party-{number}' / 'identity' / 'cert.pem'}"
        for number in (1, 2, 3)
    ]

    def init(*parties: str):
        options = [part for party in parties for part in ("--party", party)]
        return CliRunner().invoke(app, ["ceremony", "init", str(tmp_path / "new.json"), *options])

    assert init(*seats).exit_code == 0
    roster = Roster.load(tmp_path / "new.json")
    assert [(seat.name, seat.host, seat.port) for seat in roster.parties] == [
        ("party-1", "host-1", 7010), ("party-2", "host-2", 7020), ("party-3", "host-3", 7030),
    ]  # fmt: skip
    assert roster.bits == 2048
    assert init(*seats).exit_code == 2  # never overwritten
    assert init(*seats[:2], "nonsense").exit_code == 2
    assert isinstance(init(*seats[:2]).exception, CeremonyFailed)


def test_identities_made_by_the_command_hold_a_ceremony(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgeproof.ceremony.local import _free_ports
    from edgeproof.ceremony.roster import Roster
    from edgeproof.cli import app

    def edgeproof(*arguments: str):
        return CliRunner().invoke(app, ["ceremony", *arguments])

    options = ["--bits", "512", "--batch", "64"]
    for number, port in enumerate(_free_ports(3), 1):
        identity = tmp_path / f"party-{number}" / "identity"
        assert edgeproof("identity", str(identity), "--name", f"{number}.example").exit_code == 0
        assert sorted(path.name for path in identity.iterdir()) == ["cert.pem", "key.pem"]
        assert (identity / "key.pem").stat().st_mode & 0o777 == 0o600
        options += ["--party", f"127.0.0.1:{port}={identity / 'cert.pem'}"]
    assert edgeproof("identity", str(tmp_path / "party-1"), "--name", "again").exit_code == 2
    assert edgeproof("init", str(tmp_path / "roster.json"), *options).exit_code == 0
    roster = Roster.load(tmp_path / "roster.json")
    answers = in_threads(tmp_path, roster)
    assert len({answer.modulus for answer in answers.values()}) == 1  # type: ignore[union-attr]


def test_a_certificate_with_which_nobody_could_take_part_is_refused_for_the_roster(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    from edgeproof.ceremony.roster import seat_at
    from identity import IdentityError

    def certificate(curve: ec.EllipticCurve, **parts: str) -> bytes:
        key, now = ec.generate_private_key(curve), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(getattr(NameOID, part), text) for part, text in parts.items()])
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    whole = {"ORGANIZATION_NAME": "a", "ORGANIZATIONAL_UNIT_NAME": "admin", "COMMON_NAME": "a.example"}
    assert seat_at(certificate(ec.SECP256R1(), **whole), "h", 1).name == "a.example"
    for missing in whole:
        with pytest.raises(IdentityError):
            seat_at(certificate(ec.SECP256R1(), **{k: v for k, v in whole.items() if k != missing}), "h", 1)
    with pytest.raises(IdentityError):
        seat_at(certificate(ec.SECP384R1(), **whole), "h", 1)
    with pytest.raises(IdentityError):
        seat_at(b"nonsense", "h", 1)
