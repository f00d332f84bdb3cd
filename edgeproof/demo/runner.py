"""The demo, phase by phase. Each phase can be stopped at any moment and gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from chaincode.api import GetRun, Run
from edgeproof.demo.attacks import attack_afterwards, attack_live, judge_live
from edgeproof.demo.commands import Said, call_public, command_line
from edgeproof.demo.data import DigitsSplit, load_digits_split, readings_of
from edgeproof.demo.devices import DemoDevice, enrol_all, make_devices, send_all
from edgeproof.demo.measurements import accuracies, all_anchored, count_chains, recorded, sample_proofs
from edgeproof.demo.outage import restore_orderers
from edgeproof.demo.report import ReportData, write_report
from edgeproof.demo.scene import AttackResult, Scene
from edgeproof.demo.state import DemoState
from edgeproof.deployment import Backend, Deployment, Plan
from edgeproof.errors import DemoError
from edgeproof.fleet import service_specs, training_specs
from edgeproof.setup import make_deployment
from edgeproof.training_runs import accepted_versions, start_run
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from ledger.port import evaluate_typed
from network.records import register
from network.supervisor import Supervisor
from protocol.bundle import Bundle, serialise_bundle
from protocol.trust import serialise_trust

__all__ = ["Demo"]

RUN = "digits"
_MODEL = "mlp"
_LIVE = "live.json"
_SAMPLES = 8
_LEDGERS = {Backend.EMBEDDED: "embedded", Backend.FABRIC: "Hyperledger Fabric"}


@dataclass
class Demo:
    """One demo in one folder.

    Args:
        state: folder, parameters and progress.
        console: for people.
    """

    state: DemoState
    console: Console
    _audits: list[tuple[str, Said]] = field(default_factory=list)

    # ------------------------------------------------------------------ parts

    @property
    def out(self) -> Path:
        return self.state.out

    @cached_property
    def deployment(self) -> Deployment:
        parameters = self.state.parameters
        if parameters.network:
            return _network(Path(parameters.network), parameters.edges)
        root = self.out / "deployment"
        if not Deployment.exists(root):
            make_deployment(root, Plan.standard(self.state.parameters.edges), self._modulus())
        return Deployment(root)

    def _modulus(self) -> Path | None:
        """The file of the modulus that was asked for; made by a ceremony of three first if so asked."""
        chosen = self.state.parameters.modulus
        if chosen == "challenge":
            return None
        if chosen != "ceremony":
            return Path(chosen)
        from edgeproof.ceremony.local import make_local, run_local

        folder = self.out / "ceremony"
        made = folder / "modulus.json"
        if not made.exists():
            self._say("A modulus whose factors nobody knows: a ceremony of three processes")
            roster = make_local(folder, 3, 2048)
            run_local(folder, len(roster.parties), 120.0, self._say).save(made)
        return made

    @cached_property
    def split(self) -> DigitsSplit:
        return load_digits_split()

    @cached_property
    def devices(self) -> list[DemoDevice]:
        count = self.state.parameters.devices
        return make_devices(self.deployment, self.out / "devices", count, self.state.name("sensor"))

    @property
    def run_name(self) -> str:
        """Of the honest training run."""
        return self.state.name(RUN)

    # ------------------------------------------------------------------ the whole

    def run(self) -> dict[str, Any]:
        """Run what is left to do.

        Returns:
            The summary, as in ``summary.json``.
        """
        started = time.monotonic()
        try:
            return self._run(started)
        finally:
            self.state.spend(time.monotonic() - started)

    def _run(self, started: float) -> dict[str, Any]:
        parameters = self.state.parameters
        if self.state.resumed:
            self._say(f"Going on with the demo in {self.out}")
        with self._step(self._opening()):
            plan = self.deployment.plan
            self._begin()
        if not self.state.is_done("live"):
            with self.state.phase("live"), self._services() as (supervisor, urls):
                self._enrol(urls)
                self._send(urls)
                self._train(supervisor)
                with self._step("Waiting for the last anchors"):
                    self._settle()
                self._attack_live(urls)
        with self._step("Trust root and proof bundles"):
            self._export()
        with self._step("Audits, by public commands in processes of their own"):
            self._audit()
        attacks = self._attack()
        with self._step("Accuracy of every version, and central training"), self._parts("accuracy") as parts:
            federated, central = accuracies(parts, self._find_run(parts), self.split, parameters.devices)
        with self._step("Counting, measuring, writing the report"):
            seconds = self.state.seconds + time.monotonic() - started
            summary = self._report(attacks, federated, central, seconds)
        self.state.finish()
        self._show(summary, plan)
        return summary

    # ------------------------------------------------------------------ phases

    def _opening(self) -> str:
        if self.state.parameters.network:
            return f"The Fabric networks in {self.state.parameters.network}, as they run"
        return "A cloud and its edges: identities, chains, stores"

    def _begin(self) -> None:
        """Note where the chains stand; on Fabric see that they answer, with every orderer."""
        if self.deployment.plan.ledger is Backend.FABRIC:
            restore_orderers(self.deployment)
        with self._parts("demo") as parts:
            # The genesis blocks of chains that the demo made are its own.
            own = not self.state.parameters.network
            heights = {chain: ledger.information().height for chain, ledger in parts.readers.items()}
            self.state.begin(dict.fromkeys(heights, 0) if own else heights)

    @contextmanager
    def _services(self) -> Iterator[tuple[Supervisor, dict[str, str]]]:
        ports = {edge.chain: _free_port() for edge in self.deployment.plan.edges}
        urls = {edge: f"http://127.0.0.1:{port}" for edge, port in ports.items()}
        with (
            register(self.deployment.root / "run", "services", sys.argv),
            Supervisor(self.out / "logs") as supervisor,
        ):
            with self._step("Gateways, anchor signers, relay: each a process of its own"):
                for spec in service_specs(self.deployment, ports):
                    supervisor.start(spec)
                for url in urls.values():
                    _wait_ready(url, supervisor)
            # The peers import torch while the devices send.
            for spec in training_specs(self.deployment, self.run_name):
                supervisor.start(spec)
            try:
                yield supervisor, urls
            except KeyboardInterrupt:
                # A second Ctrl-C would leave processes behind that end only by themselves, later.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                self._say("\nEnding every process; this takes a few seconds.")
                raise
            with self._step("Ending every process"):
                supervisor.stop()

    def _enrol(self, urls: dict[str, str]) -> None:
        if not self.state.is_done("enrolled"):
            with self.state.phase("enrolled"), self._bar("Enrolling devices", len(self.devices)) as progress:
                enrol_all(self.deployment, self.devices, urls, progress)

    def _send(self, urls: dict[str, str]) -> None:
        if not self.state.is_done("sent"):
            readings = readings_of(self.split, len(self.devices))
            total = sum(len(part) for part in readings)
            with self.state.phase("sent"), self._bar("Devices sign and send readings", total) as progress:
                send_all(self.devices, readings, urls, progress)

    def _train(self, supervisor: Supervisor) -> None:
        rounds = self.state.parameters.rounds
        with (
            self._parts("demo") as parts,
            self._bar("Training: local updates, attestations, aggregates", rounds) as progress,
        ):
            deadline = int(time.time()) + 24 * 3600
            run = start_run(parts, self.run_name, _MODEL, rounds, epochs=None, seed=1, deadline=deadline)
            done = 0
            while done < rounds:
                time.sleep(0.2)
                supervisor.check()
                now = accepted_versions(parts, run)
                progress(now - done)
                done = now

    def _settle(self) -> None:
        """Wait until everything that happened is anchored on main and held by the edges."""
        with self._parts("demo") as parts:
            end = time.monotonic() + 120
            while not all_anchored(parts):
                if time.monotonic() > end:
                    raise DemoError(f"the last anchors do not come; see the logs in {self.out / 'logs'}")
                time.sleep(0.2)

    def _export(self) -> None:
        folder = self.out / "bundles"
        folder.mkdir(exist_ok=True)
        rounds = self.state.parameters.rounds
        with self._parts("demo") as parts:
            self._write_trust(parts)
            for edge in self.deployment.plan.edges[:3]:
                known = recorded(parts, edge.chain, self.state.since)
                for number, profile in enumerate(("compact", "full")):
                    record, _ = secrets.choice(known)
                    bundle = parts.prover.record_bundle(edge.chain, record, profile=profile)
                    self._write_bundle(f"record-{edge.chain}-{number + 1}-{profile}", bundle)
            for number in sorted({1, rounds}):
                self._write_bundle(f"round-{number}", parts.prover.round_bundle(self.run_name, number))
            self._write_bundle(f"model-{rounds}", parts.prover.model_bundle(self.run_name, rounds))

    def _write_trust(self, parts: Parts) -> None:
        _write(self.out / "trust.json", serialise_trust(export_trust(parts)))

    def _write_bundle(self, name: str, bundle: Bundle) -> None:
        _write(self.out / "bundles" / f"{name}.json", serialise_bundle(bundle))

    def _audit(self) -> None:
        edges = self.deployment.plan.edges
        rounds = self.state.parameters.rounds
        with self._parts("demo") as parts:
            record, _ = secrets.choice(recorded(parts, edges[-1].chain, self.state.since))
        sample = min(3, len(edges) * rounds)  # the run has no more steps than that
        there = ["--deployment", str(self.deployment.root)]
        trust = ["--trust", str(self.out / "trust.json")]
        self._audits = [
            (
                f"a random record of {'another' if len(edges) > 1 else 'the'} edge",
                call_public(
                    [
                        *("audit", "record", edges[-1].chain, record.hex()),
                        *("--holder", edges[0].chain, *trust, *there),
                    ]
                ),
            ),
            (
                "the final model's lineage, and every reading's bytes",
                call_public(["audit", "model", self.run_name, str(rounds), "--contents", *trust, *there]),
            ),
            ("anchors of all chains", call_public(["audit", "anchors", *trust, *there])),
            ("spot check", call_public(["recompute", self.run_name, "--sample", str(sample), *there])),
        ]
        for path in sorted((self.out / "bundles").glob("*.json")):
            self._audits.append((path.stem, call_public(["audit", "bundle", str(path), *trust])))
        for name, said in self._audits:
            if said.exit_code != 0:
                raise DemoError(f"audit of {name} ended with {said.exit_code}: {said.line}\n  {said.command}")

    def _attack_live(self, urls: dict[str, str]) -> None:
        title = "Attacks on the running system"
        with self._step(title) as tell:
            with self._parts("demo") as parts:
                self._write_trust(parts)
            scene = self._scene(urls[self.devices[0].edge])
            answers = attack_live(scene, lambda name: tell(f"{title}: {name}"))
            document = {name: dataclasses.asdict(said) for name, said in answers.items()}
            _write(self.out / _LIVE, json.dumps(document).encode())
            self._settle()  # they leave news behind

    def _attack(self) -> list[AttackResult]:
        title = "Attacks, each on a copy, each judged by a public command"
        with self._step(title) as tell:
            scene = self._scene("")
            answers = json.loads((self.out / _LIVE).read_bytes())
            return [
                *judge_live(scene, {name: Said(**said) for name, said in answers.items()}),
                *attack_afterwards(scene, lambda name: tell(f"{title}: {name}")),
            ]

    def _scene(self, url: str) -> Scene:
        device = self.devices[0]
        content = readings_of(self.split, len(self.devices))[0][0]
        with self._parts("demo") as parts:
            (record,) = [
                record
                for record, reading in recorded(parts, device.edge, self.state.since)
                if (reading.device, reading.nonce) == (device.name, "n000000")
            ]
        return Scene(
            deployment=self.deployment,
            folder=self.out / "attacks",
            trust=self.out / "trust.json",
            bundle=self.out / "bundles" / f"model-{self.state.parameters.rounds}.json",
            record=(device.edge, record, content),
            device=device,
            url=url,
            run=self.run_name,
        )

    def _report(
        self, attacks: list[AttackResult], federated: list[float], central: float, seconds: float
    ) -> dict[str, Any]:
        parameters = self.state.parameters
        with self._parts("demo") as parts:
            counts = count_chains(parts, self.state.since)
            proofs = sample_proofs(parts, (self.out / "trust.json").read_bytes(), _SAMPLES, self.state.since)
        summary: dict[str, Any] = {
            "edges": parameters.edges,
            "devices": parameters.devices,
            "records": counts.records,
            "blocks": counts.blocks,
            "anchors": {"type2": counts.type2, "type3": counts.type3},
            "rounds": len(federated),
            "ledger": parameters.ledger,
            "accuracy": {"federated": federated[-1], "central": central},
            "attacks": [
                {"name": one.name, "caught": one.caught, "exit_code": one.said.exit_code} for one in attacks
            ],
            "proof": {
                "bytes": int(statistics.median(sample.size for sample in proofs)),
                "prove_ms": round(statistics.median(sample.prove_ms for sample in proofs), 3),
                "verify_ms": round(statistics.median(sample.verify_ms for sample in proofs), 3),
            },
            "seconds": round(seconds, 1),
        }
        write_report(
            self.out / "report.html",
            ReportData(
                summary=summary,
                rounds=list(enumerate(federated, start=1)),
                central=central,
                anchors=counts.anchor_times,
                proofs=proofs,
                audits=[(name, said.command, said.exit_code, said.line) for name, said in self._audits],
                attacks=[
                    (one.name, one.what, one.said.command, one.said.exit_code, one.said.line)
                    for one in attacks
                ],
                chains=counts.chains,
            ),
        )
        _write(self.out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        return summary

    def _find_run(self, parts: Parts) -> Run:
        run: Run = evaluate_typed(parts.readers[self.deployment.plan.main.chain], GetRun(self.run_name))
        return run

    def _parts(self, name: str) -> Parts:
        return Parts(self.deployment, name)

    # ------------------------------------------------------------------ speaking to people

    def _say(self, text: str) -> None:
        self.console.print(text)

    @contextmanager
    def _step(self, title: str) -> Iterator[Callable[[str], None]]:
        started = time.monotonic()
        with self.console.status(title) as status:
            yield status.update
        self.console.print(f"[green]✓[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        started = time.monotonic()
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as progress:
            task = progress.add_task(title, total=total)
            yield lambda count: progress.advance(task, count)
        self.console.print(f"[green]✓[/] {title}: {total} [dim]{time.monotonic() - started:.1f} s[/]")

    def _show(self, summary: dict[str, Any], plan: Plan) -> None:
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
        bundles = {path.stem for path in (self.out / "bundles").glob("*.json")}
        for name, said in self._audits:
            if name not in bundles:
                table.add_row(f"audit: {name}", f"exit {said.exit_code}: {said.document['verdict']}")
        verified = sum(name in bundles and said.exit_code == 0 for name, said in self._audits)
        table.add_row("audit: exported bundles, offline", f"{verified} of {len(bundles)} verified")
        self.console.print(table)
        attacks = Table("attack", "caught", "exit", title="Attacks")
        for attack in summary["attacks"]:
            caught = "[green]yes[/]" if attack["caught"] else "[red]NO[/]"
            attacks.add_row(attack["name"], caught, str(attack["exit_code"]))
        self.console.print(attacks)
        self.console.print(f"Report: {self.out / 'report.html'}   Summary: {self.out / 'summary.json'}")
        bundle = sorted((self.out / "bundles").glob("record-*.json"))[0]
        command = command_line(["audit", "bundle", str(bundle), "--trust", str(self.out / "trust.json")])
        self.console.print(f"Check it by hand: {command}", soft_wrap=True)
        self.console.print(f"{summary['seconds']:.0f} s in all.")


def _network(root: Path, edges: int) -> Deployment:
    if not Deployment.exists(root):
        raise DemoError(f"{root} holds no network; `make up` starts one")
    deployment = Deployment(root)
    if deployment.plan.ledger is not Backend.FABRIC:
        raise DemoError(f"{root} holds a deployment on the embedded ledger, no network")
    if len(deployment.plan.edges) != edges:
        raise DemoError(f"the network in {root} has {len(deployment.plan.edges)} edges, not {edges}")
    return deployment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(url: str, supervisor: Supervisor, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while True:
        supervisor.check()
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        if time.monotonic() > end:
            raise DemoError(f"the gateway at {url} does not become ready")
        time.sleep(0.1)


def _write(path: Path, raw: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(raw)
    temporary.replace(path)
