"""``edgeproof network …``: what is done to a network now and then: change, keep, spread, render it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeproof.commands.network_common import (
    EXIT_CODES,
    ROOT,
    HostOption,
    ModulusOption,
    RootOption,
    adopt,
    choose_topology,
    keep_modulus,
    look,
    print_table,
    progress_lines,
    stoppable,
)

if TYPE_CHECKING:
    from network.records import Record

app = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def add_edge(
    name: Annotated[str, typer.Argument(help="Chain id of the new edge.")],
    root: RootOption = ROOT,
    host: HostOption = "",
) -> None:
    """Add an edge like the last one to a running network; everything goes on meanwhile."""
    from edgeproof.ready import probe
    from edgeproof.settings import Settings
    from network import add_edge as add

    progress = progress_lines()
    fabric_bin = Settings.from_environment().fabric_bin
    with stoppable(root, progress):
        added = add(root, name, probe, host=host or None, fabric_bin=fabric_bin, progress=progress)
        adopt(root, added.topology, progress)
    progress(f"{name} is there")


@app.command(epilog=EXIT_CODES)
def upgrade(root: RootOption = ROOT, host: HostOption = "") -> None:
    """Replace the running contracts by those installed here now; the chains and their state go on.

    One that was interrupted is finished by this or by `up`.
    """
    from edgeproof.ready import probe
    from edgeproof.settings import Settings
    from network import upgrade as replace

    fabric_bin, progress = Settings.from_environment().fabric_bin, progress_lines()
    with stoppable(root, progress):
        replace(root, probe, host=host or None, fabric_bin=fabric_bin, progress=progress)
    print_table(look(root, host))


@app.command(epilog=EXIT_CODES)
def batch(
    chain: Annotated[str, typer.Argument(help="Chain id.")],
    timeout: Annotated[str, typer.Option(help="How long orderers wait for more: 200ms, 2s, 1m.")],
    messages: Annotated[int, typer.Option(min=1, help="How many transactions fill a block.")],
    root: RootOption = ROOT,
) -> None:
    """Change when a running chain's orderers cut a block; all its organisations' administrators sign.

    The network's topology.yaml says so afterwards.
    """
    from network.channel_changes import set_batch

    number = set_batch(root, chain, timeout=timeout, messages=messages)
    typer.echo(f"{chain}: a block after {timeout} or {messages} transactions, from block {number} on")


@app.command(
    epilog="Exit codes: 0 none has expired; 1 one has, or the list cannot be made, and why; 2 wrong usage."
)
def identities(
    root: RootOption = ROOT,
    days: Annotated[int, typer.Option(min=0, help="Only those that expire within so many days; 0: all.")] = 0,
) -> None:
    """List the certificates whose keys are here, the first to expire first, with the days left.

    The third column says whose they are to renew: `ours` (by `renew`), `own` (the organisation brings them),
    `authority` (not renewed: a new one is published to the chains).
    """
    from network.renewal import identities as known

    found = [status for status in known(root) if not days or status.days_left() < days]
    for status in found:
        left = status.days_left()
        said = f"{left:5d} days" if left >= 0 else "   EXPIRED"
        typer.echo(f"{said}  {status.valid_until:%Y-%m-%d}  {status.issuer:9}  {status.name}")
    raise typer.Exit(1 if any(status.days_left() < 0 for status in found) else 0)


@app.command(epilog=EXIT_CODES)
def renew(
    names: Annotated[
        list[str] | None, typer.Argument(help="As `identities` lists them; none: what expires soon.")
    ] = None,
    root: RootOption = ROOT,
    host: HostOption = "",
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="New keys too. Their chain must run for orderers.")
    ] = False,
    within: Annotated[int, typer.Option(min=0, help="Without names: what expires within so many days.")] = 30,
) -> None:
    """Certify identities again, and restart the network's processes that use them, one after the other.

    Orderers' new certificates are named in their running channels too. Anchor signers keep their keys, which
    the chains' rosters name, and so does the TLS of a Raft chain's only orderer.
    """
    from network.renewal import holders
    from network.renewal import renew as certify

    soon, progress = timedelta(days=within), progress_lines()
    try:
        done = certify(
            root, names or [], new_keys=new_keys, within=soon, host=host or None, progress=progress
        )
    except KeyboardInterrupt:
        progress("Stopped. What was renewed is kept: `edgeproof network up` finishes this")
        raise
    for status in done:
        typer.echo(f"{status.name}: until {status.valid_until:%Y-%m-%d}")
    if not done:
        typer.echo(f"Nothing expires within {within} days.")
    _tell_holders(holders(root, done))


@app.command(epilog=EXIT_CODES)
def revoke(
    names: Annotated[list[str], typer.Argument(help="As `identities` lists them.")],
    root: RootOption = ROOT,
) -> None:
    """Make lost certificates worthless: new keys take their places, and the running chains are told.

    What was signed with them before stays valid. Not for TLS certificates: `renew --new-keys` those. One
    that was interrupted is finished by `up`.
    """
    from network.membership import revoke as withdraw
    from network.renewal import holders

    progress = progress_lines()
    try:
        done = withdraw(root, names, progress=progress)
    except KeyboardInterrupt:
        progress("Stopped. The lost certificate may still be taken: `edgeproof network up` finishes this")
        raise
    for status in done:
        typer.echo(f"{status.name}: revoked, and another until {status.valid_until:%Y-%m-%d}")
    _tell_holders(holders(root, done))


@app.command(epilog=EXIT_CODES)
def publish_msp(
    organisation: Annotated[str, typer.Argument(help="MSP id.")], root: RootOption = ROOT
) -> None:
    """Tell the running chains an organisation's authorities and revocation lists, as in its msp folder.

    Put another authority's certificate into identities/ORGANISATION/msp/cacerts (for TLS: tlscacerts), or a
    revocation list into crls, first.
    """
    from network.membership import publish_msp as publish

    changed = publish(root, organisation, progress=progress_lines())
    told = f"published on {', '.join(changed)}" if changed else "its chains know all of it already"
    typer.echo(f"{organisation}: {told}")


def _tell_holders(found: list[Record]) -> None:
    if found:
        running = ", ".join(f"{record.name} (process {record.process.pid})" for record in found)
        typer.echo(f"Restart what still uses the former certificates: {running}")


@app.command(epilog=EXIT_CODES)
def snapshot(
    file: Annotated[Path, typer.Argument(help="The archive to write; it holds every private key.")],
    root: RootOption = ROOT,
    pause: Annotated[bool, typer.Option("--pause", help="End the network's processes meanwhile.")] = False,
) -> None:
    """Keep a whole network in one file: ledgers, identities with their keys, stores, state."""
    from network.snapshots import snapshot as keep

    number = keep(root, file, pause=pause, progress=progress_lines())
    typer.echo(
        f"{file}: {number} files, {file.stat().st_size / 2**20:.1f} MiB; keep it where the keys may be"
    )


@app.command(epilog=EXIT_CODES)
def restore(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="What `snapshot` or `export` wrote.")
    ],
    root: RootOption = ROOT,
) -> None:
    """Make a network's folder from a snapshot, or a host's from an export; `up` starts it."""
    from network.snapshots import restore as bring_back

    about = bring_back(file, root)
    what, option = f"network {about['name']}", ""
    if "host" in about:
        what, option = f"host {about['host']} of {about['name']}", f" --host {about['host']}"
    typer.echo(
        f"{root}: {what} as of {about['created']}; `edgeproof network up --root {root}{option}` starts it"
    )


@app.command(epilog=EXIT_CODES)
def prepare(
    topology: Annotated[str, typer.Option(help="A topology file with several hosts.")],
    root: RootOption = ROOT,
    modulus: ModulusOption = None,
) -> None:
    """Make the identities of a network of several hosts; `export` then packs each host's part."""
    from network.hosts import prepare as make

    chosen = choose_topology(root, topology)
    if modulus is not None:
        keep_modulus(root, chosen, modulus)
    make(root, chosen)
    typer.echo(f"{root}: {len(chosen.msp_ids)} organisations on {', '.join(chosen.hosts)}")


@app.command(epilog=EXIT_CODES)
def export(
    file: Annotated[Path, typer.Argument(help="The archive to write; it holds the host's private keys.")],
    host: Annotated[str, typer.Option(help="The host that it is for.")],
    root: RootOption = ROOT,
) -> None:
    """Pack what one host of the topology needs; `restore` unpacks it there, `up --host` starts it."""
    from network.hosts import export_host

    number = export_host(root, host, file)
    typer.echo(f"{file}: {number} files for {host}; bring it there by a way that may carry private keys")


render_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Describe a network's processes for production."
)
app.add_typer(render_app, name="render")
OutOption = Annotated[Path, typer.Option(help="Folder to write to.")]


@render_app.command(epilog=EXIT_CODES)
def systemd(
    out: OutOption,
    root: RootOption = ROOT,
    host: HostOption = "",
    user: Annotated[str, typer.Option(help="Whom the processes run as; owns the folder.")] = "edgeproof",
) -> None:
    """Write one hardened systemd unit a process, and a target for all of them."""
    from edgeproof.settings import Settings
    from network import Network
    from network.rendering import services
    from network.units import write_units

    name = Network(root).topology.name
    described = services(root, host=host or None, fabric_bin=Settings.from_environment().fabric_bin)
    target, *units = write_units(name, root, described, out, user=user)
    typer.echo(
        f"{len(units)} units and {target.name} in {out}. Copy them to /etc/systemd/system; then `edgeproof "
        f"network down`, and `systemctl enable --now {target.name}`"
    )


@render_app.command(epilog=EXIT_CODES)
def compose(out: OutOption, root: RootOption = ROOT, host: HostOption = "") -> None:
    """Write a Compose file: one container a process, on the host's network."""
    from edgeproof.settings import Settings
    from network.compose import write_compose
    from network.rendering import services

    described = services(root, host=host or None, fabric_bin=Settings.from_environment().fabric_bin)
    file = out / "compose.yaml"
    write_compose(described, file)
    typer.echo(
        f"{file}: {len(described)} services. `edgeproof network down`, then EDGEPROOF_UID=$(id -u) "
        f"EDGEPROOF_GID=$(id -g) docker compose --file {file} up --detach"
    )
