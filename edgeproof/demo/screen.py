"""What the demo shows on a terminal while it works, and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edgeproof.demo.commands import Said, command_line
from edgeproof.deployment import Backend, Plan

__all__ = ["Screen"]

_LEDGERS = {Backend.EMBEDDED: "embedded", Backend.FABRIC: "Hyperledger Fabric"}


class Screen:
    """Steps with their times, bars, and the tables at the end.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text)

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Something that takes a while; what is yielded says what is being done just now."""
        started = time.monotonic()
        with self._console.status(title) as status:
            yield status.update
        self._console.print(f"[green]✓[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Something that is counted; what is yielded takes how many more are done."""
        started = time.monotonic()
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as progress:
            task = progress.add_task(title, total=total)
            yield lambda count: progress.advance(task, count)
        self._console.print(f"[green]✓[/] {title}: {total} [dim]{time.monotonic() - started:.1f} s[/]")

    def show(
        self, out: Path, plan: Plan, summary: Mapping[str, Any], audits: Sequence[tuple[str, Said]]
    ) -> None:
        """The tables of a finished demo, and what to do next.

        Args:
            out: the demo's folder.
            plan: the deployment's chains.
            summary: as in ``summary.json``.
            audits: what each audit was called and said.
        """
        table = Table(title="What this run did", show_header=False)
        table.add_row("chains", ", ".join(chain.chain for chain in plan.chains))
        table.add_row("ledger", _LEDGERS[plan.ledger])
        table.add_row("devices, records", f"{summary['devices']}, {summary['records']}")
        table.add_row("blocks", str(summary["blocks"]))
        anchors = summary["anchors"]
        table.add_row("anchors", f"{anchors['type2']} Type-II, {anchors['type3']} Type-III")
        accuracy = summary["accuracy"]
        table.add_row(
            f"accuracy after {summary['rounds']} round{'s' if summary['rounds'] > 1 else ''}",
            f"federated {accuracy['federated']:.4f}, central {accuracy['central']:.4f}",
        )
        proof = summary["proof"]
        table.add_row(
            "one record's proof (median)",
            f"{proof['bytes']} bytes, made in {proof['prove_ms']:.1f} ms,"
            f" verified in {proof['verify_ms']:.1f} ms",
        )
        bundles = {path.stem for path in (out / "bundles").glob("*.json")}
        for name, said in audits:
            if name not in bundles:
                table.add_row(f"audit: {name}", f"exit {said.exit_code}: {said.document['verdict']}")
        verified = sum(name in bundles and said.exit_code == 0 for name, said in audits)
        table.add_row("audit: exported bundles, offline", f"{verified} of {len(bundles)} verified")
        self._console.print(table)
        attacks = Table("attack", "caught", "exit", title="Attacks")
        for attack in summary["attacks"]:
            caught = "[green]yes[/]" if attack["caught"] else "[red]NO[/]"
            attacks.add_row(attack["name"], caught, str(attack["exit_code"]))
        self._console.print(attacks)
        self._console.print(f"Report: {out / 'report.html'}   Summary: {out / 'summary.json'}")
        bundle = sorted((out / "bundles").glob("record-*.json"))[0]
        command = command_line(["audit", "bundle", str(bundle), "--trust", str(out / "trust.json")])
        self._console.print(f"Check it by hand: {command}", soft_wrap=True)
        self._console.print(f"{summary['seconds']:.0f} s in all.")
