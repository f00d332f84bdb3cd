"""The demo's attacks: each is made with the keys that its adversary would have, and each must be caught.

Attacks work on copies, or undo themselves, or leave behind what stands by itself (the replay nothing, the
false step on Fabric a run of its own). Each is judged by a public command: ``caught`` follows from what that
command answered, compared with what must be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeproof.demo import block_copies, rewriting
from edgeproof.demo.bezout import forge_membership
from edgeproof.demo.commands import Said
from edgeproof.demo.data import CONTENT_TYPE
from edgeproof.demo.false_step import record_false_step
from edgeproof.demo.outage import orderer_outage
from edgeproof.demo.scene import Attack, AttackResult, Scene
from edgeproof.deployment import Backend
from edgeproof.errors import DemoError

__all__ = ["attack_afterwards", "attack_live", "judge_live"]


def attack_live(scene: Scene, progress: Callable[[str], None]) -> dict[str, Said]:
    """Carry out the attacks on the running system; what was answered, by the attack's name."""
    said = {}
    for attack in _live(scene):
        progress(attack.name)
        said[attack.name] = attack.run(scene)
    return said


def judge_live(scene: Scene, said: Mapping[str, Said]) -> list[AttackResult]:
    """Whether what was answered to ``attack_live`` is what must be answered."""
    return [attack.judge(said[attack.name]) for attack in _live(scene)]


def attack_afterwards(scene: Scene, progress: Callable[[str], None]) -> list[AttackResult]:
    """All other attacks, one after the other; no process of the deployment may be running."""
    results = []
    for attack in _FABRIC_AFTERWARDS if _on_fabric(scene) else _EMBEDDED_AFTERWARDS:
        progress(attack.name)
        results.append(attack.judge(attack.run(scene)))
    return results


def _live(scene: Scene) -> list[Attack]:
    return [_REPLAY, orderer_outage(scene), _FALSE_STEP] if _on_fabric(scene) else [_REPLAY]


def _on_fabric(scene: Scene) -> bool:
    return scene.deployment.plan.ledger is Backend.FABRIC


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


def _alter_store(scene: Scene) -> list[str]:
    edge, record, content = scene.record
    copy = scene.copy("altered-store")
    needle = content[: len(content) // 2]
    for path in sorted(copy.store_path(edge).rglob("*")):
        if not path.is_file() or needle not in (raw := path.read_bytes()):
            continue
        position = raw.index(needle) + len(needle) // 2
        path.chmod(0o600)
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        return ["audit", "record", edge, record.hex(), *scene.where(copy)]
    raise DemoError("the reading's bytes are not in the store")


_REPLAY = Attack(
    "replayed reading",
    "A recorded reading is submitted once more with its nonce.",
    1,
    {"http_status": 409, "problem": "replayed-nonce"},
    _replay,
)

_ALTERED_STORE = Attack(
    "altered reading in the store",
    "One bit of a reading is flipped in the edge's store.",
    1,
    {"check": "content"},
    _alter_store,
)

_FALSE_STEP = Attack(
    "false training step",
    "A trainer and a colluding peer record weights that do not follow from their inputs.",
    1,
    {"check": "spot-check"},
    record_false_step,
)

_FORGED_MEMBERSHIP = Attack(
    "forged membership (Bézout)",
    "Two fake transactions pass the paper's batch equation (1) and go into a bundle.",
    1,
    {"check": "membership"},
    forge_membership,
)

_REWRITTEN_EDGE = "All organisations of an edge rewrite its chain from the genesis block and sign it anew."
_REWRITTEN_MAIN = "All organisations of main rewrite it from the genesis block and sign it anew."

_EMBEDDED_AFTERWARDS = (
    _ALTERED_STORE,
    Attack("edge's chain rewritten", _REWRITTEN_EDGE, 1, {"check": "conflict"}, rewriting.rewrite_edge),
    Attack("main rewritten", _REWRITTEN_MAIN, 1, {"check": "conflict"}, rewriting.rewrite_main),
    _FALSE_STEP,
    _FORGED_MEMBERSHIP,
)

_FABRIC_AFTERWARDS = (
    _ALTERED_STORE,
    Attack(
        "altered block file",
        "One digit of a recorded reading's digest is changed in a copy of a peer's block file.",
        1,
        {"check": "block-linkage"},
        block_copies.alter_block_file,
    ),
    Attack(
        "edge's block file rewritten",
        f"{_REWRITTEN_EDGE} Its orderers sign every block.",
        1,
        {"check": "conflict"},
        block_copies.rewrite_edge,
    ),
    Attack(
        "main's block file rewritten",
        f"{_REWRITTEN_MAIN} Its orderers sign every block.",
        1,
        {"check": "conflict"},
        block_copies.rewrite_main,
    ),
    _FORGED_MEMBERSHIP,
)
