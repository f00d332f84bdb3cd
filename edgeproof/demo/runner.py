"""The demo, phase by phase. Each phase can be stopped at any moment and gone on with."""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from chaincode.api import GetRun, Run
from edgeproof.demo.attacks import attack_afterwards, attack_live, judge_live
from edgeproof.demo.audits import audit
from edgeproof.demo.commands import Said
from edgeproof.demo.data import DigitsSplit, load_digits_split, readings_of
from edgeproof.demo.devices import DemoDevice, enrol_all, make_devices, send_all
from edgeproof.demo.measurements import accuracies, all_anchored, count_chains, recorded, sample_proofs
from edgeproof.demo.outage import restore_orderers
from edgeproof.demo.scene import AttackResult, Scene
from edgeproof.demo.screen import Screen
from edgeproof.demo.services import running
from edgeproof.demo.state import DemoState
from edgeproof.demo.summary import summarise
from edgeproof.deployment import Backend, Deployment, Plan
from edgeproof.errors import DemoError
from edgeproof.setup import make_deployment
from edgeproof.training_runs import accepted_versions, start_run
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from ledger.port import evaluate_typed
from network.supervisor import Supervisor
from protocol.bundle import Bundle, serialise_bundle
from protocol.trust import serialise_trust

__all__ = ["Demo"]

RUN = "digits"
_MODEL = "mlp"
_LIVE = "live.json"
_SAMPLES = 8


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

    @cached_property
    def _screen(self) -> Screen:
        return Screen(self.console)

    # ------------------------------------------------------------------ parts

    @property
    def out(self) -> Path:
        return self.state.out

    @cached_property
    def deployment(self) -> Deployment:
        parameters = self.state.parameters
        if parameters.network:
            return Deployment(Path(parameters.network))
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
            self._screen.say("A modulus whose factors nobody knows: a ceremony of three processes")
            roster = make_local(folder, 3, 2048)
            run_local(folder, len(roster.parties), 120.0, self._screen.say).save(made)
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
            self._screen.say(f"Going on with the demo in {self.out}")
        with self._screen.step(self._opening()):
            plan = self.deployment.plan
            self._begin()
        if not self.state.is_done("live"):
            with (
                self.state.phase("live"),
                running(self.deployment, self.out / "logs", self.run_name, self._screen) as (
                    supervisor,
                    urls,
                ),
            ):
                self._enrol(urls)
                self._send(urls)
                self._train(supervisor)
                with self._screen.step("Waiting for the last anchors"):
                    self._settle()
                self._attack_live(urls)
        with self._screen.step("Trust root and proof bundles"):
            self._export()
        with self._screen.step("Audits, by public commands in processes of their own"):
            self._audits = self._audit()
        attacks = self._attack()
        with (
            self._screen.step("Accuracy of every version, and central training"),
            self._parts("accuracy") as parts,
        ):
            federated, central = accuracies(parts, self._find_run(parts), self.split, parameters.devices)
        with self._screen.step("Counting, measuring, writing the report"):
            seconds = self.state.seconds + time.monotonic() - started
            summary = self._report(attacks, federated, central, seconds)
        self.state.finish()
        self._screen.show(self.out, plan, summary, self._audits)
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

    def _enrol(self, urls: dict[str, str]) -> None:
        if not self.state.is_done("enrolled"):
            with (
                self.state.phase("enrolled"),
                self._screen.bar("Enrolling devices", len(self.devices)) as progress,
            ):
                enrol_all(self.deployment, self.devices, urls, progress)

    def _send(self, urls: dict[str, str]) -> None:
        if not self.state.is_done("sent"):
            readings = readings_of(self.split, len(self.devices))
            total = sum(len(part) for part in readings)
            with (
                self.state.phase("sent"),
                self._screen.bar("Devices sign and send readings", total) as progress,
            ):
                send_all(self.devices, readings, urls, progress)

    def _train(self, supervisor: Supervisor) -> None:
        rounds = self.state.parameters.rounds
        with (
            self._parts("demo") as parts,
            self._screen.bar("Training: local updates, attestations, aggregates", rounds) as progress,
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

    def _audit(self) -> list[tuple[str, Said]]:
        with self._parts("demo") as parts:
            known = recorded(parts, self.deployment.plan.edges[-1].chain, self.state.since)
        record, _ = secrets.choice(known)
        return audit(self.deployment, self.out, self.run_name, self.state.parameters.rounds, record)

    def _attack_live(self, urls: dict[str, str]) -> None:
        title = "Attacks on the running system"
        with self._screen.step(title) as tell:
            with self._parts("demo") as parts:
                self._write_trust(parts)
            scene = self._scene(urls[self.devices[0].edge])
            answers = attack_live(scene, lambda name: tell(f"{title}: {name}"))
            document = {name: dataclasses.asdict(said) for name, said in answers.items()}
            _write(self.out / _LIVE, json.dumps(document).encode())
            self._settle()  # they leave news behind

    def _attack(self) -> list[AttackResult]:
        title = "Attacks, each on a copy, each judged by a public command"
        with self._screen.step(title) as tell:
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
        with self._parts("demo") as parts:
            counts = count_chains(parts, self.state.since)
            proofs = sample_proofs(parts, (self.out / "trust.json").read_bytes(), _SAMPLES, self.state.since)
        summary = summarise(
            self.out,
            self.state.parameters,
            counts,
            proofs,
            attacks,
            self._audits,
            federated,
            central,
            seconds,
        )
        _write(self.out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        return summary

    def _find_run(self, parts: Parts) -> Run:
        run: Run = evaluate_typed(parts.readers[self.deployment.plan.main.chain], GetRun(self.run_name))
        return run

    def _parts(self, name: str) -> Parts:
        return Parts(self.deployment, name)


def _write(path: Path, raw: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(raw)
    temporary.replace(path)
