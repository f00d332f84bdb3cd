"""The scratch contract as chaincode of a running Fabric network: a namespace of its own for every test.

One package, one service a peer (in this process, over TLS both ways); the definitions that name it are as
many as the tests want: each is a chaincode name, and so a world state of its own.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from fabric_protos.peer import collection_pb2, policy_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2
from scratch_contract import Get, Put, invoke

from chaincode.shim import ChaincodeServer, TlsFiles
from identity import Role, Signer
from ledger.errors import LedgerError
from ledger.fabric import Endpoint, Gateway, Identity, connect, no_hash, submit_until_committed
from ledger.fabric_ledger import FabricLedger
from network import Network
from network.packages import Package, connections_folder
from network.programs import find_programs, run_program
from network.tools import admin_environment
from network.topology import Node

_LIFECYCLE: Final = "_lifecycle"
_READY_SECONDS: Final = 30.0


class ScratchChaincode:
    """Serves the scratch contract to every peer of one chain. To be closed after use."""

    def __init__(self, network: Network, chain: str, *, fabric_bin: Any = None, run: Any = invoke) -> None:
        self.network = network
        self.chain = chain
        self.organisations = network.chain(chain).organisations
        self._programs = find_programs(fabric_bin)
        self._package = Package.make(1, f"scratch_{secrets.token_hex(4)}")
        self.servers: dict[str, ChaincodeServer] = {}
        self.ports: dict[str, int] = {}
        self._fresh: list[str] = []
        self._count = 0
        self._run = run
        layout = network.layout
        package = layout.package(self._package.label)
        package.write_bytes(self._package.content)
        for peer in network.topology.select(chain=chain, kind="peer"):
            self.serve(peer)
            self._connect(peer)
            run_program(
                [self._programs.peer, "lifecycle", "chaincode", "install", package],
                environment=admin_environment(layout, peer),
            )

    def serve(self, peer: Node) -> None:
        """Serve a peer; at the port that it knows, where it was served before."""
        layout = self.network.layout
        tls = layout.node(peer.name) / "tls"
        server = ChaincodeServer(
            self._run,
            self._package.package_id,
            f"127.0.0.1:{self.ports.get(peer.msp_id, 0)}",
            tls=TlsFiles(
                (tls / "key.pem").read_bytes(),
                (tls / "cert.pem").read_bytes(),
                layout.tls_roots(peer.msp_id).read_bytes(),
            ),
        )
        server.start()
        self.servers[peer.msp_id] = server
        self.ports[peer.msp_id] = server.port

    def _connect(self, peer: Node) -> None:
        layout = self.network.layout
        tls = layout.node(peer.name) / "tls"
        connection = {
            "address": f"127.0.0.1:{self.ports[peer.msp_id]}",
            "dial_timeout": "10s",
            "tls_required": True,
            "client_auth_required": True,
            "client_key": (tls / "key.pem").read_text(),
            "client_cert": (tls / "cert.pem").read_text(),
            "root_cert": layout.tls_roots(peer.msp_id).read_text(),
        }
        path = connections_folder(layout, peer) / f"{self._package.label}.json"
        path.write_text(json.dumps(connection))

    def fresh(self, ahead: int = 40) -> str:
        """The name of a chaincode whose state is empty; ``ahead`` of them are defined at once."""
        if not self._fresh:
            names = [f"{self._package.label}_{self._count + index}" for index in range(ahead)]
            self._count += ahead
            asyncio.run(self._define(names))
            self._wait(names[-1])
            self._fresh = names
        return self._fresh.pop(0)

    def signer(self, msp_id: str, role: Role) -> Signer:
        return Signer.load(self.network.layout.identity(msp_id, role.value), msp_id=msp_id)

    def close(self) -> None:
        for server in self.servers.values():
            server.stop(1.0)

    async def _define(self, names: Sequence[str]) -> None:
        gateways = {msp_id: self._admin(msp_id) for msp_id in self.organisations}
        try:
            approvals = [
                self._lifecycle(gateways[msp_id], "ApproveChaincodeDefinitionForMyOrg", name, (msp_id,))
                for msp_id in self.organisations
                for name in names
            ]
            await asyncio.gather(*approvals)
            first = gateways[self.organisations[0]]
            await asyncio.gather(
                *(
                    self._lifecycle(first, "CommitChaincodeDefinition", name, self.organisations)
                    for name in names
                )
            )
        finally:
            for gateway in gateways.values():
                await gateway.close()

    async def _lifecycle(
        self, gateway: Gateway, function: str, name: str, organisations: Sequence[str]
    ) -> None:
        definition = {
            "sequence": 1,
            "name": name,
            "version": "1",
            "validation_parameter": policy_pb2.ApplicationPolicy(
                channel_config_policy_reference="/Channel/Application/Endorsement"
            ).SerializeToString(),
            "collections": collection_pb2.CollectionConfigPackage(),
        }
        argument: Any
        if function.startswith("Approve"):
            source = lifecycle_pb2.ChaincodeSource(
                local_package=lifecycle_pb2.ChaincodeSource.Local(package_id=self._package.package_id)
            )
            argument = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs(source=source, **definition)
        else:
            argument = lifecycle_pb2.CommitChaincodeDefinitionArgs(**definition)
        await submit_until_committed(
            gateway.get_network(self.chain).get_contract(_LIFECYCLE),
            function,
            [argument.SerializeToString()],
            endorsing_organizations=organisations,
        )

    def _admin(self, msp_id: str) -> Gateway:
        peer = self.network.peer(self.chain, msp_id)
        signer = self.signer(msp_id, Role.ADMIN)
        return connect(
            Endpoint(peer.address, peer.tls_roots, peer.server_name),
            Identity(msp_id, signer.certificate_pem),
            sign=signer.sign,
            hash=no_hash,
        )

    def _wait(self, name: str) -> None:
        """Until every peer answers for the newest definition, and knows that the others do."""
        end = time.monotonic() + _READY_SECONDS
        for msp_id in self.organisations:
            ledger = FabricLedger(
                self.network.peer(self.chain, msp_id),
                self.chain,
                submitter=self.signer(msp_id, Role.CLIENT),
                chaincode=name,
            )
            try:
                while True:
                    try:
                        ledger.evaluate(Get("a"))
                        ledger.submit(Put("ready", "x"), timeout=5)
                        break
                    except LedgerError:
                        if time.monotonic() > end:
                            raise
                        time.sleep(0.1)
            finally:
                ledger.close()
