"""``edgeproof ceremony …``: several parties make a modulus whose factors none of them knows."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Make a modulus together whose factors nobody knows (docs/ceremony.md).

    Honest-but-curious: of three parties any one learns nothing, any two together can factor it.""",
)

Bits = Annotated[int, typer.Option(min=512, max=4096, help="Length of the modulus.")]
Patience = Annotated[int, typer.Option(min=1, help="Seconds to wait for a party.")]
Batch = Annotated[int, typer.Option(min=0, max=4096, help="Candidates a message round (0: by size).")]


@app.command()
def identity(
    folder: Annotated[Path, typer.Argument(help="Folder to make, with key.pem (kept) and cert.pem (given).")],
    name: Annotated[str, typer.Option(help="The party's name in the roster, such as its host's.")],
) -> None:
    """Make this party's key and certificate. The certificate goes to whoever writes the roster."""
    from edgeproof.ceremony.roster import make_identity
    from edgeproof.errors import CeremonyFailed
    from identity import IdentityError

    if folder.exists():
        raise typer.BadParameter(f"{folder} exists", param_hint="FOLDER")
    try:
        make_identity(name, folder)
    except IdentityError as error:
        raise CeremonyFailed(str(error)) from error
    typer.echo(f"{folder / 'cert.pem'}: give this to whoever writes the roster")


@app.command()
def init(
    roster: Annotated[Path, typer.Argument(help="Roster file to write; every party needs the same bytes.")],
    party: Annotated[
        list[str],
        typer.Option(help="HOST:PORT=CERTIFICATE.pem of one party, in their order; at least three."),
    ],
    bits: Bits = 2048,
    batch: Batch = 0,
) -> None:
    """Write the roster of a ceremony between machines. Compare its session by a way that all trust."""
    from edgeproof.ceremony.roster import Roster, seat_at
    from identity import IdentityError
    from identity.files import write_file

    seats = []
    for text in party:
        address, _, path = text.partition("=")
        host, _, port = address.rpartition(":")
        if not (host and path and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise typer.BadParameter(f"{text!r} is not HOST:PORT=CERTIFICATE.pem", param_hint="--party")
        try:
            seats.append(seat_at(Path(path).read_bytes(), host, int(port)))
        except (OSError, IdentityError) as error:
            raise typer.BadParameter(f"{path}: {error}", param_hint="--party") from error
    made = Roster.of(seats, bits, secrets.token_bytes(32), batch)
    if roster.exists():
        raise typer.BadParameter(f"{roster} exists", param_hint="ROSTER")
    write_file(roster, made.encode(), mode=0o644)
    typer.echo(f"{roster}: {len(seats)} parties, {bits} bits, session {made.settings.session.hex()}")


@app.command("party")
def take_part(
    roster: Annotated[Path, typer.Argument(help="The roster file.")],
    identity: Annotated[Path, typer.Option(help="Folder with this party's cert.pem and key.pem.")],
    out: Annotated[Path, typer.Option(help="Folder for transcript.bin and modulus.json.")],
    patience: Patience = 120,
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on, if not the roster's address.")] = "",
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when standard input closes (set by `run`).")
    ] = False,
) -> None:
    """Take part as one party until the modulus is made. Killed, it may be started again the same way."""
    from edgeproof.ceremony.roster import Roster
    from edgeproof.ceremony.runner import Party, run_party
    from edgeproof.errors import CeremonyFailed
    from identity import IdentityError

    if with_parent:
        from edgeproof.processes import stop_with_parent

        stop_with_parent()
    place = None
    if listen:
        host, _, port = listen.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise typer.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
        place = (host, int(port))

    def report(line: str) -> None:
        print(line, flush=True)

    try:
        result = run_party(Party(Roster.load(roster), identity, out, float(patience), report, place))
    except IdentityError as error:
        raise CeremonyFailed(str(error)) from error
    report(f"{out / 'modulus.json'}: transcript {result.transcript.hex()}")


@app.command()
def run(
    out: Annotated[Path, typer.Argument(help="Folder to make, or one that was interrupted.")],
    parties: Annotated[int | None, typer.Option(min=3, max=16, help="Number of processes (3).")] = None,
    bits: Annotated[int | None, typer.Option(min=512, max=4096, help="Length of the modulus (2048).")] = None,
    batch: Annotated[
        int | None, typer.Option(min=0, max=4096, help="Candidates a message round (0: by size).")
    ] = None,
    patience: Patience = 120,
) -> None:
    """Run all parties as processes of this machine, to try it out: who runs it could learn the factors.

    A folder that was interrupted keeps its numbers."""
    from edgeproof.ceremony.local import make_local, run_local

    roster = make_local(out, parties, bits, batch)
    result = run_local(out, len(roster.parties), float(patience), typer.echo)
    result.save(out / "modulus.json")
    typer.echo(f"{out / 'modulus.json'}: transcript {result.transcript.hex()}")


@app.command()
def verify(
    transcript: Annotated[Path, typer.Argument(help="A party's transcript.bin.")],
    modulus: Annotated[
        Path | None, typer.Option(help="Also check that this modulus file is the transcript's.")
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="Also check that the transcript is this roster's.")
    ] = None,
) -> None:
    """Check a transcript offline: every signature, every test, every discarded candidate."""
    from edgeproof.ceremony.files import load_modulus, verify_transcript
    from edgeproof.ceremony.roster import Roster
    from edgeproof.errors import CeremonyFailed

    verified = verify_transcript(
        transcript,
        lambda height, outcome: typer.echo(f"batch {height}: {outcome.candidates} candidates hold"),
    )
    if roster is not None and Roster.load(roster) != verified.roster:
        raise CeremonyFailed(f"{transcript} is of another ceremony than {roster}")
    if verified.modulus is None:
        raise CeremonyFailed(f"{transcript} holds so far, but the ceremony is unfinished")
    if modulus is not None and load_modulus(modulus) != verified.modulus:
        raise CeremonyFailed(f"{modulus} is not the result of {transcript}")
    candidates = sum(outcome.candidates for outcome in verified.history.outcomes)
    typer.echo(
        f"verified: {len(verified.roster.parties)} parties signed {verified.roster.bits} bits after "
        f"{candidates} candidates; transcript {verified.modulus.transcript.hex()}"
    )


@app.command()
def show(modulus: Annotated[Path, typer.Argument(help="A modulus.json.")]) -> None:
    """Check a modulus file's signatures and print what it holds."""
    from edgeproof.ceremony.files import load_modulus

    file = load_modulus(modulus)
    typer.echo(f"modulus     {file.modulus.hex()}")
    typer.echo(f"bits        {file.roster.bits}")
    typer.echo(f"origin      {file.origin}")
    typer.echo(f"session     {file.roster.settings.session.hex()}")
    typer.echo(f"transcript  {file.transcript.hex()}")
    learn = file.roster.settings.degree
    typer.echo(f"colluders   {learn} learn nothing, {learn + 1} can factor it")
    for party in range(1, len(file.roster.parties) + 1):
        typer.echo(f"signed by   {file.roster.name(party)}")
