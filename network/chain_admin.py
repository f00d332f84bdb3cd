"""One chain's administrators at work: join, install, approve, commit, each where it is not done yet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from identity import Role, Signer
from network.channels import join_orderer, join_peer
from network.endpoints import Endpoint
from network.errors import NotReady
from network.layout import Layout
from network.lifecycle import deploy, install
from network.network import Network
from network.packages import Package, write_connection
from network.programs import Programs
from network.system_chaincode import PeerQuestions
from network.topology import Node

__all__ = ["ChainAdmin", "at_once"]

_START_S: Final = 60.0
_LOOK_S: Final = 1.0

T = TypeVar("T")
R = TypeVar("R")


class ChainAdmin:
    """All organisations' administrators of one chain, connected to each peer. To be closed after use."""

    def __init__(
        self, network: Network, programs: Programs, chain: str, watch: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing is asked yet.

        Args:
            network: with all the chain's keys below its folder.
            programs: Fabric's.
            chain: the channel's id.
            watch: called now and then while waiting for a process; raises where that is hopeless.
        """
        self._layout = network.layout
        self._programs = programs
        self._watch = watch
        self.chain = chain
        self.orderers = network.topology.select(chain=chain, kind="orderer")
        self.peers = network.topology.select(chain=chain, kind="peer")
        self._stack = contextlib.ExitStack()
        self._questions = {
            peer.name: self._stack.enter_context(_questions(network.layout, peer)) for peer in self.peers
        }

    def __enter__(self) -> ChainAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def join(self) -> bool:
        """Wait for every orderer and peer of the chain; those that have not joined it join.

        Returns:
            Whether anybody had to.

        Raises:
            NotReady: a process does not answer.
            CommandFailed: one refuses.
        """

        def join(node: Node) -> bool:
            if node.kind == "orderer":
                return join_orderer(self._layout, self._programs, node, self._watch)
            self._wait(self._questions[node.name])
            return join_peer(self._layout, self._programs, node, self._questions[node.name])

        return any(at_once(join, [*self.orderers, *self.peers]))

    def deploy(self, package: Package, services: Mapping[str, str]) -> bool:
        """Install, approve and commit a package; its services should be running.

        Args:
            package: the package; its file is written.
            services: ``address:port`` of each organisation's chaincode process.

        Returns:
            Whether anything had to be done.

        Raises:
            CommandFailed: a peer, or the orderers, refuse.
            NotReady: a peer does not answer.
        """

        def prepare(peer: Node) -> bool:
            questions = self._questions[peer.name]
            self._wait(questions)
            write_connection(self._layout, peer, services[peer.msp_id], package)
            return install(self._layout, self._programs, peer, questions, package)

        installed = any(at_once(prepare, self.peers))
        deployed = deploy(self._layout, self._programs, package, self.peers, self.orderers, self._questions)
        return installed or deployed

    def sequence(self, chaincode: str) -> int:
        """The sequence number of the committed definition, 0 where there is none.

        Raises:
            NotReady: the first peer does not answer.
        """
        definition = self._questions[self.peers[0].name].definition(self.chain, chaincode)
        return 0 if definition is None else int(definition.sequence)

    def _wait(self, questions: PeerQuestions) -> None:
        end = time.monotonic() + _START_S
        while True:
            try:
                return questions.wait(_LOOK_S)
            except NotReady:
                self._watch()
                if time.monotonic() > end:
                    raise


def at_once(action: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do something with every item, each in a thread; all have ended before the first error goes up."""
    with ThreadPoolExecutor(max(1, len(items))) as executor:
        pending = [executor.submit(action, item) for item in items]
    return [future.result() for future in pending]


def _questions(layout: Layout, peer: Node) -> PeerQuestions:
    signer = Signer.load(layout.identity(peer.msp_id, Role.ADMIN.value), msp_id=peer.msp_id)
    return PeerQuestions(Endpoint.of(layout, peer), signer, layout.client_tls(peer.msp_id))
