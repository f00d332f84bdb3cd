"""A channel's first configuration, as ``configtxgen`` reads it.

Sources: Fabric 3.1's genesisconfig and channelconfig. What is odd has its reason beside it.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from network.files import write_text
from network.layout import Layout
from network.programs import Programs, run_program
from network.topology import ChainSpec, Node, Topology

__all__ = ["PROFILE", "configtx", "make_genesis"]

PROFILE: Final = "Channel"

Document = dict[str, Any]

_RAFT_OPTIONS: Final = {
    "TickInterval": "100ms",
    "ElectionTick": 10,
    "HeartbeatTick": 1,
    "MaxInflightBlocks": 5,
    "SnapshotIntervalSize": "16 MB",
}
_SMARTBFT_OPTIONS: Final = {
    "RequestForwardTimeout": "2s",
    "RequestComplainTimeout": "4s",
    "RequestAutoRemoveTimeout": "3m",
    "ViewChangeResendInterval": "2s",
    "ViewChangeTimeout": "8s",
    "LeaderHeartbeatTimeout": "5s",
    "LeaderHeartbeatCount": 10,
    "CollectTimeout": "1s",
    "IncomingMessageBufferSize": 200,
    "RequestPoolSize": 10_000,
}


def configtx(layout: Layout, topology: Topology, chain: ChainSpec) -> Document:
    """The document: one profile with everything in it."""
    peers = topology.select(chain=chain.chain, kind="peer")
    orderers = topology.select(chain=chain.chain, kind="orderer")
    return {
        "Profiles": {
            PROFILE: {
                "Policies": _meta_policies(),
                "Capabilities": {"V3_0": True},
                "Orderer": _orderer_group(layout, chain, orderers),
                "Application": _application_group(layout, chain, peers, orderers),
            }
        }
    }


def make_genesis(layout: Layout, topology: Topology, chain: ChainSpec, programs: Programs) -> None:
    """Make a channel's block 0 where there is none yet; an existing one is never made anew.

    Raises:
        CommandFailed: ``configtxgen`` refuses.
    """
    block = layout.genesis(chain.chain)
    if block.exists():
        return
    folder = layout.channel(chain.chain)
    folder.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_dump(configtx(layout, topology, chain), sort_keys=False)
    write_text(folder / "configtx.yaml", document)
    # Written beside, then named: a block 0 that is half there would be taken for the channel's own.
    fresh = folder / "genesis.block.new"
    run_program(
        [
            *(programs.configtxgen, "-profile", PROFILE, "-channelID", chain.chain),
            *("-outputBlock", fresh, "-configPath", folder),
        ]
    )
    fresh.replace(block)


def _meta_policies() -> Document:
    return {
        "Readers": {"Type": "ImplicitMeta", "Rule": "ANY Readers"},
        "Writers": {"Type": "ImplicitMeta", "Rule": "ANY Writers"},
        "Admins": {"Type": "ImplicitMeta", "Rule": "MAJORITY Admins"},
    }


def _signature(rule: str) -> Document:
    return {"Type": "Signature", "Rule": rule}


def _organisation(
    layout: Layout, msp_id: str, peers: tuple[Node, ...], orderers: tuple[Node, ...]
) -> Document:
    own_peers = [node for node in peers if node.msp_id == msp_id]
    own_orderers = [node for node in orderers if node.msp_id == msp_id]
    document: Document = {
        "Name": msp_id,
        "ID": msp_id,
        "MSPDir": str(layout.msp(msp_id)),
        "Policies": {
            "Readers": _signature(f"OR('{msp_id}.member')"),
            "Writers": _signature(f"OR('{msp_id}.member')"),
            "Admins": _signature(f"OR('{msp_id}.admin')"),
            "Endorsement": _signature(f"OR('{msp_id}.peer')"),
        },
    }
    if own_orderers:
        document["OrdererEndpoints"] = [node.endpoint for node in own_orderers]
    if own_peers:
        document["AnchorPeers"] = [{"Host": node.address, "Port": node.ports["grpc"]} for node in own_peers]
    return document


def _application_group(
    layout: Layout, chain: ChainSpec, peers: tuple[Node, ...], orderers: tuple[Node, ...]
) -> Document:
    # One principal an organisation: "two of any" never means two peers of one. Chaincode is committed without
    # a policy of its own and so takes this one.
    principals = ", ".join(f"'{msp_id}.peer'" for msp_id in chain.organisations)
    endorsement = _signature(f"OutOf({chain.endorsements}, {principals})")
    return {
        "Organizations": [_organisation(layout, msp_id, peers, orderers) for msp_id in chain.organisations],
        "Policies": _meta_policies() | {"Endorsement": endorsement, "LifecycleEndorsement": endorsement},
        "Capabilities": {"V2_5": True},
    }


def _orderer_group(layout: Layout, chain: ChainSpec, orderers: tuple[Node, ...]) -> Document:
    # Fabric's sample lets every member of an orderer organisation sign blocks ("ANY Writers"). With SmartBFT
    # configtxgen replaces this by a policy over the consenters.
    signers = ", ".join(f"'{msp_id}.orderer'" for msp_id in chain.orderers)
    document: Document = {
        "OrdererType": "etcdraft" if chain.ordering == "raft" else "BFT",
        "BatchTimeout": chain.batch.timeout,
        "BatchSize": {
            "MaxMessageCount": chain.batch.messages,
            "AbsoluteMaxBytes": chain.batch.absolute_bytes,
            "PreferredMaxBytes": chain.batch.preferred_bytes,
        },
        "Organizations": [_organisation(layout, msp_id, (), orderers) for msp_id in chain.orderers],
        "Policies": _meta_policies() | {"BlockValidation": _signature(f"OR({signers})")},
        "Capabilities": {"V2_0": True},
    }
    if chain.ordering == "raft":
        document["EtcdRaft"] = {
            "Consenters": [_consenter(layout, node) for node in orderers],
            "Options": _RAFT_OPTIONS,
        }
    else:
        document["ConsenterMapping"] = [
            {
                "ID": number,
                "MSPID": node.msp_id,
                "Identity": str(layout.node(node.name) / "msp" / "signcerts" / "cert.pem"),
                **_consenter(layout, node),
            }
            for number, node in enumerate(orderers, start=1)
        ]
        # SmartBFT does not look at BatchTimeout.
        document["SmartBFT"] = {**_SMARTBFT_OPTIONS, "RequestBatchMaxInterval": chain.batch.timeout}
    return document


def _consenter(layout: Layout, node: Node) -> Document:
    certificate = str(layout.node(node.name) / "tls" / "cert.pem")
    return {
        "Host": node.address,
        "Port": node.ports["grpc"],
        "ClientTLSCert": certificate,
        "ServerTLSCert": certificate,
    }
