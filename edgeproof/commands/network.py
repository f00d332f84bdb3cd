"""``edgeproof network …``: real Hyperledger Fabric networks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from network.status import ProcessStatus
    from network.topology import Topology

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Bring real Hyperledger Fabric networks up and down, look at them, keep and restore them.",
)

_MISSING = 3
"""Something is not there, as everywhere in this command line."""

RootOption = Annotated[Path, typer.Option(help="Folder of the network; it is a deployment's folder too.")]
TopologyOption = Annotated[
    str,
    typer.Option(help="A topology file, or `default` or `dev` (default: the network's own, else `default`)."),
]
HostOption = Annotated[str, typer.Option(help="The host of the topology that this machine is.")]
_ROOT = Path("build/network")


@app.command()
def up(
    root: RootOption = _ROOT,
    topology: TopologyOption = "",
    host: HostOption = "",
    modulus: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A ceremony's modulus.json, for a new network."),
    ] = None,
) -> None:
    """Start what is missing, and return when a real transaction of two organisations is on every chain.

    Everything that is there already is kept: `up` again changes nothing, `up` after `down` goes on.
    """
    from edgeproof.ready import probe
    from edgeproof.settings import Settings
    from network import up as bring_up

    chosen = _topology(root, topology)
    if modulus is not None:
        _keep_modulus(root, chosen, modulus)
    progress = _progress()
    fabric_bin = Settings.from_environment().fabric_bin
    bring_up(root, chosen, probe, host=host or None, fabric_bin=fabric_bin, progress=progress)
    _adopt(root, chosen, progress)
    _print_table(_status(root, host))
    progress("Up. `edgeproof network status` shows this again, `edgeproof network down` ends it")


@app.command()
def add_edge(
    name: Annotated[str, typer.Argument(help="Chain id of the new edge.")],
    root: RootOption = _ROOT,
    host: HostOption = "",
) -> None:
    """Add an edge like the last one to a running network; everything goes on meanwhile."""
    from edgeproof.ready import probe
    from edgeproof.settings import Settings
    from network import add_edge as add

    progress = _progress()
    fabric_bin = Settings.from_environment().fabric_bin
    added = add(root, name, probe, host=host or None, fabric_bin=fabric_bin, progress=progress)
    _adopt(root, added.topology, progress)
    progress(f"{name} is there; restart `edgeproof run` for its gateway and signers")


@app.command()
def upgrade(root: RootOption = _ROOT, host: HostOption = "") -> None:
    """Replace the running contracts by those installed here now; the chains and their state go on."""
    from edgeproof.ready import probe
    from edgeproof.settings import Settings
    from network import upgrade as replace

    fabric_bin = Settings.from_environment().fabric_bin
    replace(root, probe, host=host or None, fabric_bin=fabric_bin, progress=_progress())
    _print_table(_status(root, host))


@app.command()
def down(
    root: RootOption = _ROOT,
    host: HostOption = "",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until SIGKILL.")] = 10.0,
) -> None:
    """End every process over this folder (gateways and a running demo too); all state is kept."""
    from network import down as bring_down

    progress = _progress()
    ended = bring_down(root, host=host or None, timeout_s=timeout, progress=progress)
    progress(f"{ended} processes ended" if ended else "Nothing was running")


@app.command()
def status(
    root: RootOption = _ROOT,
    host: HostOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every process: chain, kind, address, pid, memory, uptime. Exit 3 unless all of them run."""
    found = _status(root, host)
    if as_json:
        typer.echo(json.dumps([vars(process) for process in found], indent=2))
    else:
        _print_table(found)
    raise typer.Exit(0 if all(process.healthy for process in found) else _MISSING)


@app.command()
def logs(
    names: Annotated[list[str] | None, typer.Argument(help="Processes, or parts of their names.")] = None,
    root: RootOption = _ROOT,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="So many of each log's last lines.")
    ] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the ends of the processes' logs."""
    from network.errors import NetworkError
    from network.logs import follow_logs, log_files, tail

    files = log_files(root, names or [])
    if not files:
        wanted = f" of {', '.join(names)}" if names else ""
        raise NetworkError(f"{root} has no logs{wanted}; `edgeproof network status` lists the processes")
    for file in files:
        for line in tail(file, lines):
            typer.echo(f"{file.stem}: {line}")
    if follow:
        try:
            for name, line in follow_logs(files):
                typer.echo(f"{name}: {line}")
        except KeyboardInterrupt:
            return


@app.command()
def restart(
    names: Annotated[list[str], typer.Argument(help="Names as `status` shows them.")],
    root: RootOption = _ROOT,
) -> None:
    """End processes in order and start them again."""
    from network.control import Keeper

    for host, wanted in _by_host(root, names).items():
        Keeper(root, host).restart(wanted)


@app.command()
def stop(
    names: Annotated[list[str], typer.Argument(help="Names as `status` shows them.")],
    root: RootOption = _ROOT,
) -> None:
    """End single processes, and leave them ended until `start` or the next `up`."""
    from network.control import Keeper

    for host, wanted in _by_host(root, names).items():
        Keeper(root, host).stop(wanted)


@app.command()
def start(
    names: Annotated[list[str], typer.Argument(help="Names as `status` shows them.")],
    root: RootOption = _ROOT,
) -> None:
    """Start processes that were stopped."""
    from network.control import Keeper

    for host, wanted in _by_host(root, names).items():
        Keeper(root, host).start(wanted)


@app.command()
def clean(
    root: RootOption = _ROOT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End everything and remove the network: ledgers, identities, keys, stores."""
    from network import down as bring_down
    from network.halt import remove

    if not root.exists():
        typer.echo(f"{root}: nothing there")
        return
    if not yes:
        typer.confirm(f"Remove {root} with all ledgers and keys?", abort=True)
    bring_down(root, progress=_progress())
    remove(root)
    typer.echo(f"{root} is removed")


@app.command()
def doctor(
    root: RootOption = _ROOT,
    topology: TopologyOption = "",
    host: HostOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is missing or taken, which versions were found, and what to do. Exit 1 on a problem."""
    from edgeproof.settings import Settings
    from network.doctor import doctor as examine

    fabric_bin = Settings.from_environment().fabric_bin
    findings = examine(root, _topology(root, topology), fabric_bin=fabric_bin, host=host or None)
    problems = [finding for finding in findings if finding.level == "problem"]
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        marks = {"good": "✓", "note": "!", "problem": "✗"}
        for finding in findings:
            remedy = f"\n    → {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{marks[finding.level]} {finding.subject}: {finding.text}{remedy}")
        typer.echo(f"{len(problems)} problems" if problems else "Nothing stands in the way.")
    raise typer.Exit(1 if problems else 0)


@app.command()
def snapshot(
    file: Annotated[Path, typer.Argument(help="The archive to write; it holds every private key.")],
    root: RootOption = _ROOT,
    pause: Annotated[bool, typer.Option("--pause", help="End the network's processes meanwhile.")] = False,
) -> None:
    """Keep a whole network in one file: ledgers, identities with their keys, stores, state."""
    from network.snapshots import snapshot as keep

    number = keep(root, file, pause=pause, progress=_progress())
    typer.echo(
        f"{file}: {number} files, {file.stat().st_size / 2**20:.1f} MiB; keep it where the keys may be"
    )


@app.command()
def restore(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="What `snapshot` or `export` wrote.")
    ],
    root: RootOption = _ROOT,
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


@app.command()
def prepare(
    topology: Annotated[str, typer.Option(help="A topology file with several hosts.")],
    root: RootOption = _ROOT,
    modulus: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A ceremony's modulus.json for all chains."),
    ] = None,
) -> None:
    """Make the identities of a network of several hosts; `export` then packs each host's part."""
    from network.hosts import prepare as make

    chosen = _topology(root, topology)
    if modulus is not None:
        _keep_modulus(root, chosen, modulus)
    make(root, chosen)
    typer.echo(f"{root}: {len(chosen.msp_ids)} organisations on {', '.join(chosen.hosts)}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The archive to write; it holds the host's private keys.")],
    host: Annotated[str, typer.Option(help="The host that it is for.")],
    root: RootOption = _ROOT,
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


@render_app.command()
def systemd(
    out: OutOption,
    root: RootOption = _ROOT,
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


@render_app.command()
def compose(out: OutOption, root: RootOption = _ROOT, host: HostOption = "") -> None:
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


def _topology(root: Path, chosen: str) -> Topology:
    from network import Topology, named_topology
    from network.errors import TopologyError

    own = root / "topology.yaml"
    if not chosen:
        return Topology.load(own if own.is_file() else named_topology("default"))
    if Path(chosen).is_file():
        return Topology.load(Path(chosen))
    if not named_topology(chosen).is_file():
        raise TopologyError(
            f"{chosen}: no such file, and no topology that comes with edgeproof (default, dev)"
        )
    return Topology.load(named_topology(chosen))


def _adopt(root: Path, topology: Topology, progress: Callable[[str], None]) -> None:
    """Make a deployment of the network: from here on every other command takes the folder."""
    from edgeproof.deployment import Deployment, Plan
    from edgeproof.setup import adopt_network

    if len(topology.hosts) > 1:
        # Other hosts' chains may not be up yet, and their administrators' keys are not here: each host's
        # own chains were told all they must know when they were probed.
        Deployment.adopt(root, Plan.of_network(topology)).finish()
    else:
        progress("Registering organisations and chains")
        adopt_network(root)


def _keep_modulus(root: Path, topology: Topology, modulus: Path) -> None:
    """Before anything is registered: chains never change their modulus."""
    from edgeproof.deployment import Deployment, Plan
    from edgeproof.errors import DeploymentError

    if (root / "topology.yaml").exists():
        raise DeploymentError(f"the chains of {root} have their modulus already")
    Deployment.adopt(root, Plan.of_network(topology)).keep_modulus(modulus)


def _progress() -> Callable[[str], None]:
    begun = time.monotonic()

    def tell(line: str) -> None:
        # Not to standard output: that is for results.
        print(f"{time.monotonic() - begun:6.1f} s  {line}", file=sys.stderr, flush=True)

    return tell


def _status(root: Path, host: str) -> list[ProcessStatus]:
    from network.status import status as look

    return look(root, host=host or None)


def _by_host(root: Path, names: list[str]) -> dict[str, list[str]]:
    from network.errors import NetworkError

    hosts = {process.name: process.host for process in _status(root, "")}
    chosen: dict[str, list[str]] = {}
    for name in names:
        if name not in hosts:
            raise NetworkError(f"no process is called {name!r}; there are {', '.join(hosts)}")
        chosen.setdefault(hosts[name], []).append(name)
    return chosen


def _print_table(found: list[ProcessStatus]) -> None:
    rows = [("CHAIN", "PROCESS", "KIND", "ADDRESS", "STATE", "PID", "MEMORY", "UPTIME")]
    for process in found:
        state = process.state
        if process.deaths:
            state += f" ({process.deaths} unasked ends, last {process.last_end})"
        rows.append(
            (
                process.chain,
                process.name,
                process.kind,
                process.address,
                state,
                str(process.pid or ""),
                f"{process.memory_bytes / 2**20:.0f} MiB" if process.pid else "",
                _duration(process.uptime_s) if process.pid else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    running = [process for process in found if process.pid]
    memory = sum(process.memory_bytes for process in running) / 2**20
    typer.echo(f"{len(running)} of {len(found)} processes run; {memory:.0f} MiB resident together")


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"
