"""An orderer of a Fabric network turned off: the system goes on, or waits, and nothing is lost."""

from __future__ import annotations

import json
import secrets
import time
from functools import partial
from typing import Final

from fabric_protos.common import common_pb2

from edgeproof.demo.commands import call_public
from edgeproof.demo.data import CONTENT_TYPE
from edgeproof.demo.scene import Attack, Scene, attacker
from edgeproof.deployment import Deployment
from edgeproof.errors import DemoError
from ledger.port import Ledger
from ledger.proof_errors import NotIndexed, Pending
from network import Network
from network.control import Keeper
from network.topology import Node
from protocol.blocks import SIGNATURES

__all__ = ["orderer_outage", "restore_orderers"]

_PATIENCE_S: Final = 90
_BEARS_ONE: Final = 3
"""Orderers from which on one may fail (SmartBFT: four)."""


def orderer_outage(scene: Scene) -> Attack:
    """What is shown depends on the topology: one of several orderers of main is ended, or the only one of
    the device's edge."""
    topology = Network(scene.deployment.root).topology
    orderers = topology.select(chain=topology.main.chain, kind="orderer")
    if len(orderers) >= _BEARS_ONE:
        return Attack(
            "an orderer turned off",
            f"One of main's {len(orderers)} orderers is ended, a follower; a reading sent then is recorded, "
            "anchored on main and proved while it is off.",
            0,
            {"verdict": "verified"},
            partial(_without_a_follower, orderers),
            partial(_start, orderers),
        )
    only = topology.select(chain=scene.device.edge, kind="orderer")
    key = f"outage-{secrets.token_hex(8)}"
    return Attack(
        "the orderer turned off",
        "The only orderer of an edge is ended: a reading sent then is not acknowledged; sent again when the "
        "orderer is back, it is recorded.",
        1,
        {"http_status": 503},
        partial(_without_the_orderer, only, key),
        partial(_send_again, only, key),
    )


def restore_orderers(deployment: Deployment) -> None:
    """Start what a demo that was killed may have left turned off.

    Raises:
        DemoError: the network does not run.
    """
    topology = Network(deployment.root).topology
    for host in {node.host for node in topology.nodes}:
        keeper = Keeper.find(deployment.root, host)
        if keeper is None:
            continue  # another machine's
        stopped = [state.name for state in keeper.states() if state.state == "stopped"]
        keeper.start([node.name for node in topology.select(kind="orderer") if node.name in stopped])
    if Keeper.find(deployment.root, topology.main.host) is None:
        raise DemoError(f"the network in {deployment.root} does not run; `make up` starts it")


def _without_a_follower(orderers: tuple[Node, ...], scene: Scene) -> list[str]:
    with attacker(scene.deployment, scene.folder, "outage") as parts:
        main = parts.readers[scene.deployment.plan.main.chain]
        leader = _leader(main, len(orderers))
        follower = next(node for number, node in enumerate(orderers) if number != leader)
        _keeper(scene, follower).stop([follower.name])
        said = call_public(_submission(scene, f"outage-{secrets.token_hex(8)}"))
        if said.exit_code != 0:
            raise DemoError(f"without {follower.name} no reading is recorded: {said.line}")
        edge, record = scene.device.edge, bytes.fromhex(str(said.document["record"]))
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                parts.prover.record_bundle(edge, record)
                break
            except (Pending, NotIndexed) as error:
                if time.monotonic() > end:
                    raise DemoError(f"without {follower.name} a record is not anchored: {error}") from error
            time.sleep(0.5)
    return ["audit", "record", edge, record.hex(), *scene.where(scene.deployment)]


def _without_the_orderer(only: tuple[Node, ...], key: str, scene: Scene) -> list[str]:
    _keeper(scene, only[0]).stop([node.name for node in only])
    return _submission(scene, key)


def _send_again(only: tuple[Node, ...], key: str, scene: Scene) -> None:
    _start(only, scene)
    end = time.monotonic() + _PATIENCE_S
    while True:
        said = call_public(_submission(scene, key))
        # A nonce that is used up says that the first attempt was recorded after all.
        if said.exit_code == 0 or said.document.get("problem") == "replayed-nonce":
            return
        if time.monotonic() > end:
            raise DemoError(f"the orderer is back, and no reading is recorded: {said.line}")
        time.sleep(0.5)


def _start(orderers: tuple[Node, ...], scene: Scene) -> None:
    _keeper(scene, orderers[0]).start([node.name for node in orderers])


def _keeper(scene: Scene, node: Node) -> Keeper:
    return Keeper(scene.deployment.root, node.host)


def _submission(scene: Scene, nonce: str) -> list[str]:
    reading = scene.folder / "outage.json"
    reading.parent.mkdir(parents=True, exist_ok=True)
    reading.write_text(json.dumps({"sent": nonce}))
    device = scene.device
    return [
        "device",
        "submit",
        str(reading),
        *("--url", scene.url, "--chain", device.edge, "--device", device.name),
        *("--key", str(device.folder / "key.pem"), "--content-type", CONTENT_TYPE),
        *("--nonce", nonce, "--idempotency-key", nonce),
    ]


def _leader(main: Ledger, count: int) -> int:
    """Place of the leader among SmartBFT's consenters: the view's number modulo their count.

    The view stands first in ``smartbftprotos.ViewMetadata``, which each block's signed metadata carry; while
    nobody has failed it is 0, which Protocol Buffers leave out.
    """
    newest = main.block(main.information().height - 1)
    metadata = common_pb2.Metadata.FromString(newest.metadata.metadata[SIGNATURES])
    view = common_pb2.OrdererBlockMetadata.FromString(metadata.value).consenter_metadata
    number = 0
    if view[:1] == b"\x08":
        for place, byte in enumerate(view[1:10]):
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
    return number % count
