"""``edgeproof network …``: real Hyperledger Fabric networks, from day to day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edgeproof.commands.network_care import app as care
from edgeproof.commands.network_common import (
    BESIDE,
    EXIT_CODES,
    ROOT,
    HostOption,
    ModulusOption,
    RootOption,
    TopologyOption,
    adopt,
    choose_topology,
    keep_modulus,
    look,
    print_table,
    progress_lines,
    stoppable,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Bring real Hyperledger Fabric networks up and down, look at them, change them while they run, keep "
    "and restore them. docs/network.md is the operator's guide.",
    epilog=EXIT_CODES,
)

_MISSING = 3
"""Something is not there, as everywhere in this command line."""


@app.command(epilog=EXIT_CODES)
def up(
    root: RootOption = ROOT,
    topology: TopologyOption = "",
    host: HostOption = "",
    modulus: ModulusOption = None,
) -> None:
    """Make and start what is missing; return when a real transaction of two organisations is on every chain.

    What is there is kept: `up` again changes nothing, `up` after `down` goes on, `up` after an `up`, a
    `renew` or a `revoke` that was interrupted finishes it. A process whose configuration or certificates have
    changed since it started is restarted, one after the other.
    """
    chosen = choose_topology(root, topology)
    progress = progress_lines()
    with stoppable(root, progress):
        progress(f"Bringing up {root}")  # before what takes seconds to load
        from edgeproof.ready import probe
        from edgeproof.settings import Settings
        from network import up as bring_up
        from network.membership import finish_revocations

        if modulus is not None:
            keep_modulus(root, chosen, modulus)
        fabric_bin = Settings.from_environment().fabric_bin
        brought = bring_up(root, chosen, probe, host=host or None, fabric_bin=fabric_bin, progress=progress)
        adopt(root, brought.topology, progress)  # which may have got edges since the one that was given
        finish_revocations(root, host=host or None, progress=progress)
        print_table(look(root, host))
    where = "" if root == ROOT else f" --root {root}"
    progress(
        f"Up. `edgeproof network status{where}` shows this again, `edgeproof network down{where}` ends it"
    )


@app.command(epilog=EXIT_CODES)
def down(
    root: RootOption = ROOT,
    host: HostOption = "",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until SIGKILL.")] = 10.0,
) -> None:
    """End every process over this folder (`edgeproof run` and a running demo too); all state is kept."""
    from network import Network
    from network import down as bring_down

    if not (root / "run").is_dir():
        Network(root)  # or there is none, which is said
    progress = progress_lines()
    ended = bring_down(root, host=host or None, timeout_s=timeout, progress=progress)
    progress("Nothing runs there any more" if ended else "Nothing was running")


@app.command(
    epilog="Exit codes: 0 every process runs; 3 one does not; 1 it cannot be told, and why; 2 wrong usage."
)
def status(
    root: RootOption = ROOT,
    host: HostOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every process: chain, kind, address, state, pid, memory, uptime. Changes nothing."""
    found = look(root, host)
    if as_json:
        typer.echo(json.dumps([vars(process) for process in found], indent=2))
    else:
        print_table(found)
    if all(process.healthy for process in found):
        return
    where = f"--root {root}" + (f" --host {host}" if host else "")
    typer.echo(f"`edgeproof network up {where}` has all of it running again", err=True)
    raise typer.Exit(_MISSING)


@app.command(epilog=EXIT_CODES)
def logs(
    names: Annotated[list[str] | None, typer.Argument(help="Processes, or parts of their names.")] = None,
    root: RootOption = ROOT,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="So many of each log's last lines.")
    ] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the ends of the processes' logs, the keeper's too, and those of what `edgeproof run` starts."""
    from network.errors import NetworkError
    from network.layout import Layout
    from network.logs import follow_logs, log_files, tail

    files = log_files([Layout.of(root).logs, root / "state" / "logs"], names or [])
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


@app.command(epilog=EXIT_CODES)
def restart(
    names: Annotated[list[str], typer.Argument(help="Names as `status` shows them.")],
    root: RootOption = ROOT,
) -> None:
    """End processes, all that are named at once, and start them again."""
    from network.control import Keeper

    for host, wanted in _by_host(root, names).items():
        Keeper(root, host).restart(wanted)


@app.command(epilog=EXIT_CODES)
def stop(
    names: Annotated[list[str], typer.Argument(help="Names as `status` shows them.")],
    root: RootOption = ROOT,
) -> None:
    """End single processes, and leave them ended until `start` or the next `up`."""
    from network.control import Keeper

    for host, wanted in _by_host(root, names).items():
        Keeper(root, host).stop(wanted)


@app.command(epilog=EXIT_CODES)
def start(
    names: Annotated[list[str], typer.Argument(help="Names as `status` shows them.")],
    root: RootOption = ROOT,
) -> None:
    """Start processes that were stopped."""
    from network.control import Keeper

    for host, wanted in _by_host(root, names).items():
        Keeper(root, host).start(wanted)


@app.command(epilog="Exit codes: 0 nothing stands in the way; 1 something does; 2 wrong usage.")
def doctor(
    root: RootOption = ROOT,
    topology: TopologyOption = "",
    host: HostOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is missing, taken or expiring, which versions were found, and what to do. Changes nothing."""
    from edgeproof.settings import Settings
    from network.doctor import doctor as examine

    fabric_bin = Settings.from_environment().fabric_bin
    findings = examine(root, choose_topology(root, topology), fabric_bin=fabric_bin, host=host or None)
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


@app.command(epilog=EXIT_CODES)
def clean(
    root: RootOption = ROOT,
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
    bring_down(root, progress=progress_lines())
    remove(root)
    typer.echo(f"{root} is removed")


def _by_host(root: Path, names: list[str]) -> dict[str, list[str]]:
    from network.errors import NetworkError

    found = look(root, "")
    hosts = {process.name: process.host for process in found if process.kind not in BESIDE}
    others = {process.name for process in found} - hosts.keys()
    chosen: dict[str, list[str]] = {}
    for name in names:
        if name in others:
            raise NetworkError(f"{name} is none of the network's own processes: end it where it was started")
        if name not in hosts:
            raise NetworkError(f"no process is called {name!r}; there are {', '.join(hosts)}")
        chosen.setdefault(hosts[name], []).append(name)
    return chosen


app.add_typer(care)
