"""The demo's attacks: each is made with the keys that its adversary would have, and each must be caught.

Every attack works on a copy of the deployment (or, for the replay, changes nothing that lasts) and is judged
by a public command. ``caught`` follows from what that command answered, compared with what must be answered.
"""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accumulator import Parameters, hash_to_prime, paper
from chaincode.api import Environment, FixCut, GetStep, Step, SubmitBatch
from edgeproof.demo.commands import Said, call_public
from edgeproof.demo.data import CONTENT_TYPE
from edgeproof.demo.devices import DemoDevice
from edgeproof.deployment import ChainPlan, Deployment
from edgeproof.errors import DemoError
from edgeproof.setup import register_chain
from edgeproof.training_runs import start_run
from edgeproof.wiring import Parts
from gateway.client import ReadingSigner, enrolment
from gateway.relay import RelayPolicy
from gateway.relay_runner import RelayChain, RelayRunner
from gateway.signer import AnchorSigner
from identity import KeyPair, Role
from ledger.embedded import EmbeddedLedger
from ledger.port import call, evaluate_typed
from protocol.bundle import Bundle, ProvenElement, parse_bundle, serialise_bundle
from protocol.elements import Element
from protocol.encodings import sha256
from training.aggregator import Aggregator
from training.machine import Done, Machine
from training.peer import TrainingPeer
from training.snapshots import initial_snapshot
from training.tasks import AccuracyTask, UpdateResult, UpdateTask

__all__ = ["Attack", "AttackResult", "Scene", "attacks_on_copies", "judge_replay", "replay_attack"]


@dataclass(frozen=True)
class Scene:
    """What the attacks start from."""

    deployment: Deployment
    folder: Path
    """For copies; emptied before each attack."""
    trust: Path
    bundle: Path
    """A model's bundle, with elements under several anchors."""
    record: tuple[str, bytes, bytes]
    """(edge, record id, the reading's bytes)."""
    device: DemoDevice
    url: str
    """Of the device's gateway."""
    run: str
    """The honest run."""


@dataclass(frozen=True)
class Attack:
    """An attack and what must be answered to it."""

    name: str
    what: str
    """One sentence for people."""
    exit_code: int
    expected: Mapping[str, object]
    """Fields of the command's JSON answer."""
    carry_out: Callable[[Scene], list[str]]
    """Does it; returns the arguments of the public command that judges."""


@dataclass(frozen=True)
class AttackResult:
    """How an attack ended."""

    name: str
    what: str
    said: Said
    caught: bool


def replay_attack(scene: Scene) -> Said:
    """A reading that was recorded is submitted once more; needs the gateway."""
    return call_public(_REPLAY.carry_out(scene))


def judge_replay(said: Said) -> AttackResult:
    """Whether what was answered to ``replay_attack`` is what must be answered."""
    return _judge(_REPLAY, said)


def attacks_on_copies(scene: Scene, progress: Callable[[str], None]) -> list[AttackResult]:
    """All other attacks, one after the other; no process of the deployment may be running."""
    results = []
    for attack in _ON_COPIES:
        progress(attack.name)
        results.append(_run(scene, attack))
    return results


def _run(scene: Scene, attack: Attack) -> AttackResult:
    return _judge(attack, call_public(attack.carry_out(scene)))


def _judge(attack: Attack, said: Said) -> AttackResult:
    answered = all(said.document.get(key) == value for key, value in attack.expected.items())
    return AttackResult(attack.name, attack.what, said, answered and said.exit_code == attack.exit_code)


def _copy(scene: Scene, name: str) -> Deployment:
    target = scene.folder / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(scene.deployment.root, target, ignore=shutil.ignore_patterns("state"))
    return Deployment(target)


# ------------------------------------------------------------------ replay


def _replay(scene: Scene) -> list[str]:
    first = scene.folder / "reading.json"
    first.parent.mkdir(parents=True, exist_ok=True)
    first.write_bytes(scene.record[2])
    device = scene.device
    return [
        "device",
        "submit",
        str(first),
        *("--url", scene.url, "--chain", device.edge, "--device", device.name),
        *("--key", str(device.folder / "key.pem"), "--content-type", CONTENT_TYPE, "--nonce", "n000000"),
    ]


# ------------------------------------------------------------------ the store


def _alter_store(scene: Scene) -> list[str]:
    edge, record, content = scene.record
    copy = _copy(scene, "altered-store")
    needle = content[: len(content) // 2]
    for path in sorted(copy.store_path(edge).rglob("*")):
        if not path.is_file() or needle not in (raw := path.read_bytes()):
            continue
        position = raw.index(needle) + len(needle) // 2
        path.chmod(0o600)
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        return ["audit", "record", edge, record.hex(), *_where(scene, copy)]
    raise DemoError("the reading's bytes are not in the store")


# ------------------------------------------------------------------ rewritten chains


def _rewrite_edge(scene: Scene) -> list[str]:
    """The edge's organisations replace a reading and sign everything anew, anchor included."""
    edge, _, content = scene.record
    copy = _copy(scene, "rewritten-edge")
    plan = copy.plan.chain(edge)
    _restart_chain(copy, plan)
    with Parts(copy, "attacker") as parts:
        register_chain(copy, parts, plan)
        key = KeyPair.generate()
        owner = plan.organisations[1]
        gateway = parts.ledger(edge, plan.operator, Role.GATEWAY)
        call(gateway, enrolment(edge, scene.device.name, key, owner, copy.owner_key(owner)))
        forged = content.replace(b'"label":', b'"label":1', 1)[: len(content)]
        parts.store(edge).put(forged)
        signer = ReadingSigner(edge, scene.device.name, key, clock=time.time)
        call(gateway, SubmitBatch((signer.sign(forged, CONTENT_TYPE, nonce="n000000").reading,)))
        _anchor_again(copy, parts, plan)
    return ["audit", "anchors", *_where(scene, copy)]


def _rewrite_main(scene: Scene) -> list[str]:
    """Main's organisations start main anew, without what the edges had anchored, and sign it."""
    copy = _copy(scene, "rewritten-main")
    plan = copy.plan.main
    _restart_chain(copy, plan)
    with Parts(copy, "attacker") as parts:
        register_chain(copy, parts, plan)
        _anchor_again(copy, parts, plan)
    return ["audit", "anchors", *_where(scene, copy)]


def _restart_chain(copy: Deployment, plan: ChainPlan) -> None:
    """A new chain on the old genesis block."""
    path = copy.ledger_path(plan.chain)
    with Parts(copy, "attacker") as parts:
        genesis = parts.ledger(plan.chain, plan.operator, Role.ADMIN).block(0)
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    EmbeddedLedger.create(path, genesis)


def _anchor_again(copy: Deployment, parts: Parts, plan: ChainPlan) -> None:
    """Fix a first cut and have every organisation of the chain sign it."""
    call(parts.ledger(plan.chain, plan.operator, Role.RELAY), FixCut(number=1))
    for msp_id in plan.organisations:
        ledger = parts.ledger(plan.chain, msp_id, Role.ANCHOR_SIGNER)
        AnchorSigner(ledger, parts.index(ledger), copy.signer(msp_id, Role.ANCHOR_SIGNER)).step()


# ------------------------------------------------------------------ a false step


class _LyingWorker:
    """Returns weights that follow from nothing, the same ones to trainer and colluding peer."""

    def __init__(self, environment: Environment) -> None:
        self._seed = secrets.randbelow(2**31)
        self._environment = environment

    def update(self, task: UpdateTask) -> UpdateResult:
        recipe = dataclasses.replace(task.recipe, seed=self._seed)
        return UpdateResult(initial_snapshot(recipe), self._environment)

    def accuracy(self, task: AccuracyTask) -> float:
        raise DemoError(f"nobody asks for the accuracy over {len(task.labels)} examples here")


def _false_step(scene: Scene) -> list[str]:
    """A trainer and a colluding peer record, and attest, weights that do not follow from their inputs."""
    copy = _copy(scene, "false-step")
    plan = copy.plan
    with Parts(copy, "attacker") as parts:
        deadline = int(time.time()) + 3600
        start_run(parts, "forged", "logistic", 1, epochs=1, seed=1, deadline=deadline)
        machines: list[Machine] = [
            Aggregator(
                "forged",
                plan.main.operator,
                parts.ledger("main", plan.main.operator, Role.AGGREGATOR),
                {edge.chain: parts.ledger(edge.chain, edge.operator, Role.AGGREGATOR) for edge in plan.edges},
                {chain.chain: parts.store(chain.chain) for chain in plan.chains},
                parts.prover,
            )
        ]
        edge = plan.edges[0]
        honest: Step = evaluate_typed(parts.readers[edge.chain], GetStep(scene.run, 1, 0))
        liar = _LyingWorker(honest.environment)
        machines += [
            TrainingPeer(
                "forged",
                msp_id,
                parts.ledger(edge.chain, msp_id, Role.TRAINER),
                parts.store(edge.chain),
                liar,
            )
            for msp_id in edge.organisations
        ]
        with _Interlock(copy):
            end = time.monotonic() + 60
            accepted = 0
            while accepted < 2:  # the step, and the vote that makes it accepted
                for machine in machines:
                    event = machine.advance()
                    accepted += isinstance(event, Done) and event.what in ("trained", "attested")
                if time.monotonic() > end:
                    raise DemoError("the false step was not accepted in time")
                time.sleep(0.02)
    return ["recompute", "forged", "--sample", "1", "--deployment", str(copy.root)]


class _Interlock:
    """Signers and relay of a copy, in threads, for as long as an attack needs them."""

    def __init__(self, deployment: Deployment) -> None:
        self._stop = threading.Event()
        self._opened: list[Parts] = []
        self._threads: list[threading.Thread] = []
        for chain, msp_id in deployment.organisations():
            parts = self._parts(deployment, f"signer-{msp_id}")
            ledger = parts.ledger(chain.chain, msp_id, Role.ANCHOR_SIGNER)
            signer = AnchorSigner(ledger, parts.index(ledger), deployment.signer(msp_id, Role.ANCHOR_SIGNER))
            self._threads.append(threading.Thread(target=signer.run, args=(self._stop,)))
        parts = self._parts(deployment, "relay")
        chains = {}
        for plan in deployment.plan.chains:
            ledger = parts.ledger(plan.chain, plan.operator, Role.RELAY)
            chains[plan.chain] = RelayChain(ledger, parts.index(ledger))
        relay = RelayRunner(deployment.plan.main.chain, chains, RelayPolicy(max_age_s=0.1))
        self._threads.append(threading.Thread(target=relay.run, args=(self._stop,)))

    def _parts(self, deployment: Deployment, name: str) -> Parts:
        parts = Parts(deployment, name)
        self._opened.append(parts)
        return parts

    def __enter__(self) -> _Interlock:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for parts in self._opened:
            parts.close()


# ------------------------------------------------------------------ the paper's batch equation


def _bezout(scene: Scene) -> list[str]:
    """Two fake transactions with forged witnesses that the paper's equation (1) accepts together."""
    bundle = parse_bundle(scene.bundle.read_bytes())
    first, second = _under_two_values(bundle)
    fakes = [
        dataclasses.replace(one, envelope_hash=sha256(b"fake" + one.envelope_hash)) for one in (first, second)
    ]
    parameters = [Parameters(scene.deployment.modulus, one.chain) for one in fakes]
    representatives = [hash_to_prime(_digest(one)) for one in fakes]
    values = [_value(bundle, one) for one in fakes]
    primes = [one.prime for one in representatives]
    modulus = parameters[0].modulus.n
    forged = paper.bezout_forgery(modulus, (values[0], values[1]), (primes[0], primes[1]))
    if not paper.equation_1(modulus, forged, primes, values):
        raise DemoError("the paper's batch equation does not accept the forgery")
    changed = {
        (fake.chain, fake.number): dataclasses.replace(
            fake, offset=representative.offset, witness=_witness(parameters[0], witness)
        )
        for fake, representative, witness in zip(fakes, representatives, forged, strict=True)
    }
    elements = tuple(changed.get((one.chain, one.number), one) for one in bundle.elements)
    target = scene.folder / "bezout.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(serialise_bundle(dataclasses.replace(bundle, elements=elements)))
    return ["audit", "bundle", str(target), "--trust", str(scene.trust)]


def _under_two_values(bundle: Bundle) -> Sequence[ProvenElement]:
    """Two elements under different accumulator values."""
    first = bundle.elements[0]
    for other in bundle.elements[1:]:
        if (other.chain, other.anchor) != (first.chain, first.anchor):
            return first, other
    raise DemoError("the bundle has elements of one anchor only")


def _value(bundle: Bundle, element: ProvenElement) -> int:
    for signed in bundle.statements:
        if (signed.statement.chain, signed.statement.number) == (element.chain, element.anchor):
            return int.from_bytes(signed.statement.value_after, "big")
    raise DemoError("the bundle lacks a statement")


def _digest(element: ProvenElement) -> bytes:
    return Element(
        element.chain,
        element.number,
        element.block,
        element.index,
        element.code,
        element.envelope_hash,
        sha256(element.payload.encode()),
    ).digest()


def _witness(parameters: Parameters, witness: int) -> bytes:
    return int(parameters.group.canonical(witness)).to_bytes(parameters.value_bytes, "big")


def _where(scene: Scene, copy: Deployment) -> list[str]:
    return ["--trust", str(scene.trust), "--deployment", str(copy.root)]


_REPLAY = Attack(
    "replayed reading",
    "A recorded reading is submitted once more with its nonce.",
    1,
    {"http_status": 409, "problem": "replayed-nonce"},
    _replay,
)

_ON_COPIES = (
    Attack(
        "altered reading in the store",
        "One bit of a reading is flipped in the edge's store.",
        1,
        {"check": "content"},
        _alter_store,
    ),
    Attack(
        "edge's chain rewritten",
        "All organisations of an edge rewrite its chain from the genesis block and sign it anew.",
        1,
        {"check": "conflict"},
        _rewrite_edge,
    ),
    Attack(
        "main rewritten",
        "All organisations of main rewrite it from the genesis block and sign it anew.",
        1,
        {"check": "conflict"},
        _rewrite_main,
    ),
    Attack(
        "false training step",
        "A trainer and a colluding peer record weights that do not follow from their inputs.",
        1,
        {"check": "spot-check"},
        _false_step,
    ),
    Attack(
        "forged membership (Bézout)",
        "Two fake transactions pass the paper's batch equation (1) and go into a bundle.",
        1,
        {"check": "membership"},
        _bezout,
    ),
)
