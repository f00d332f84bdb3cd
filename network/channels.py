"""Orderers and peers join a chain's channel; whoever has joined already is left alone."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Final

from network.errors import CommandFailed, NotReady
from network.layout import Layout
from network.programs import Programs, run_program
from network.system_chaincode import PeerQuestions
from network.tools import admin_environment
from network.topology import Node

__all__ = ["join_orderer", "join_peer"]

_PAUSE_S: Final = 0.1
_LOOK_S: Final = 1.0


def join_orderer(
    layout: Layout, programs: Programs, node: Node, watch: Callable[[], None], *, timeout_s: float = 60.0
) -> bool:
    """Wait for an orderer, and let it join its channel where it has not.

    Args:
        layout: of the network.
        programs: Fabric's.
        node: the orderer.
        watch: called now and then while waiting; raises where there is nothing to wait for.
        timeout_s: how long it may take to answer, seconds.

    Returns:
        Whether it had to join.

    Raises:
        NotReady: it does not answer in time.
        CommandFailed: it refuses.
    """
    looked = time.monotonic()
    end = looked + timeout_s
    while True:
        try:
            if node.chain in _orderer_channels(layout, node):
                return False
            break
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > end:
                raise NotReady(f"{node.name} does not answer after {timeout_s:g} s: {error}") from error
            if time.monotonic() > looked + _LOOK_S:
                looked = time.monotonic()
                watch()
            time.sleep(_PAUSE_S)
    tls = layout.client_tls_folder(node.msp_id)
    said = run_program(
        [
            *(programs.osnadmin, "channel", "join", "--channelID", node.chain),
            *("--config-block", layout.genesis(node.chain), "--orderer-address", node.at("admin")),
            *("--ca-file", layout.tls_roots(node.msp_id)),
            *("--client-cert", tls / "cert.pem", "--client-key", tls / "key.pem"),
        ]
    )
    # The tool ends with 0 also where the orderer refuses.
    if node.chain not in _orderer_channels(layout, node):
        raise CommandFailed(f"{node.name} does not join {node.chain}: {said.strip()}")
    return True


def join_peer(layout: Layout, programs: Programs, node: Node, questions: PeerQuestions) -> bool:
    """Let a peer join its channel where it has not.

    Returns:
        Whether it had to join.

    Raises:
        CommandFailed: it refuses.
    """
    if node.chain in questions.channels():
        return False
    run_program(
        [programs.peer, "channel", "join", "-b", layout.genesis(node.chain)],
        environment=admin_environment(layout, node),
    )
    return True


def _orderer_channels(layout: Layout, node: Node) -> frozenset[str]:
    tls = layout.client_tls_folder(node.msp_id)
    context = ssl.create_default_context(cafile=str(layout.tls_roots(node.msp_id)))
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    connection = http.client.HTTPSConnection(node.address, node.ports["admin"], context=context, timeout=10)
    try:
        connection.request("GET", "/participation/v1/channels")
        answer = connection.getresponse()
        raw = answer.read()
        if answer.status != http.client.OK:
            raise CommandFailed(f"{node.name}: {answer.status}: {raw[:300].decode(errors='replace')}")
    finally:
        connection.close()
    return frozenset(entry["name"] for entry in json.loads(raw)["channels"] or ())
