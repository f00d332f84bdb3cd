"""A peer's ``core.yaml``, in full.

Every key that the peer reads is written, as an absolute path where it is one, so that no default of another
version and no variable of somebody's shell decides anything. The keys are those of Fabric 3.1.
"""

from __future__ import annotations

from typing import Any, Final

from network.layout import Layout
from network.topology import Node, Topology

__all__ = ["BUILDER", "CONNECTIONS", "LOGGING", "peer_config"]

BUILDER: Final = "edgeproof"
"""Name and type of our external builder; packages of this type are chaincode as a service."""

CONNECTIONS: Final = "EDGEPROOF_CONNECTIONS"
"""Variable by which the builder learns where a peer keeps the addresses of its chaincode."""

LOGGING: Final = (
    "info:endorser=warning:gateway=warning:gossip=warning:policies=warning:comm.grpc.server=warning:msp=warning"
    ":grpc=error"
)
"""Fabric's logging specification; at these levels nothing of a transaction's content is written."""

_MAX_MESSAGE: Final = 100 * 1024 * 1024

Document = dict[str, Any]


def peer_config(layout: Layout, topology: Topology, node: Node) -> Document:
    """The document of one peer."""
    folder = layout.node(node.name)
    data = folder / "data"
    return {
        "peer": {
            "id": node.name,
            "networkId": topology.name,
            "listenAddress": node.bound("grpc"),
            "address": node.endpoint,
            "addressAutoDetect": False,
            "chaincodeListenAddress": node.bound("chaincode"),
            "chaincodeAddress": node.bound("chaincode"),
            "fileSystemPath": str(data),
            "mspConfigPath": str(folder / "msp"),
            "localMspId": node.msp_id,
            "localMspType": "bccsp",
            "gateway": {
                "enabled": True,
                "endorsementTimeout": "30s",
                "broadcastTimeout": "30s",
                "dialTimeout": "30s",
            },
            "keepalive": {
                "interval": "7200s",
                "timeout": "20s",
                # A client may ask every ten seconds whether the peer is still there, streams open or not.
                "minInterval": "10s",
                "client": {"interval": "60s", "timeout": "20s"},
                "deliveryClient": {"interval": "10s", "timeout": "5s"},
            },
            "gossip": _gossip(topology, node),
            "tls": _tls(layout, topology, node),
            "authentication": {"timewindow": "15m"},
            "BCCSP": {
                "Default": "SW",
                "SW": {"Hash": "SHA2", "Security": 256, "FileKeyStore": {"KeyStore": ""}},
            },
            "client": {"connTimeout": "3s"},
            "deliveryclient": {
                "blockGossipEnabled": False,
                "reconnectTotalTimeThreshold": "3600s",
                "connTimeout": "3s",
                # After an orderer or a link was away it is tried again at least this often.
                "reConnectBackoffThreshold": "2s",
                "minimalReconnectInterval": "100ms",
                "blockCensorshipTimeoutKey": "10s",
                "addressOverrides": [],
                "policy": "cluster",
            },
            "profile": {"enabled": False, "listenAddress": "127.0.0.1:6060"},
            "handlers": {
                # Who asks must be within the validity of the certificate, and the proposal of our time.
                "authFilters": [
                    {"name": "DefaultAuth"},
                    {"name": "ExpirationCheck"},
                    {"name": "TimeWindowCheck"},
                ],
                "decorators": [{"name": "DefaultDecorator"}],
                "endorsers": {"escc": {"name": "DefaultEndorsement", "library": ""}},
                "validators": {"vscc": {"name": "DefaultValidation", "library": ""}},
            },
            "discovery": {
                "enabled": True,
                "authCacheEnabled": True,
                "authCacheMaxSize": 1000,
                "authCachePurgeRetentionRatio": 0.75,
                "orgMembersAllowedAccess": False,
            },
            "limits": {
                "concurrency": {"endorserService": 2500, "deliverService": 2500, "gatewayService": 500}
            },
            "maxRecvMsgSize": _MAX_MESSAGE,
            "maxSendMsgSize": _MAX_MESSAGE,
        },
        "vm": {"endpoint": ""},  # no Docker: chaincode is a service
        "chaincode": _chaincode(layout),
        "ledger": {
            "blockchain": {},
            "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100_000},
            "history": {"enableHistoryDatabase": False},
            "pvtdataStore": {
                "collElgProcMaxDbBatchSize": 5000,
                "collElgProcDbBatchesInterval": 1000,
                "deprioritizedDataReconcilerInterval": "60m",
                "purgeInterval": 100,
                "purgedKeyAuditLogging": True,
            },
            "snapshots": {"rootDir": str(data / "snapshots")},
        },
        "operations": {
            # For this machine alone: it has no client authentication.
            "listenAddress": node.bound("operations"),
            "tls": {"enabled": False},
        },
        "metrics": {"provider": "prometheus"},
    }


def _gossip(topology: Topology, node: Node) -> Document:
    # Intervals of a second: at the defaults the Gateway may say for half a minute after a start that no
    # combination of peers can endorse.
    own = [peer.endpoint for peer in topology.select(chain=node.chain, kind="peer", msp_id=node.msp_id)]
    return {
        "bootstrap": " ".join(own),
        "useLeaderElection": False,
        "orgLeader": True,  # one peer an organisation: it fetches blocks from the orderers itself
        "endpoint": node.endpoint,
        "externalEndpoint": node.endpoint,
        "membershipTrackerInterval": "5s",
        "maxBlockCountToStore": 10,
        "maxPropagationBurstLatency": "10ms",
        "maxPropagationBurstSize": 10,
        "propagateIterations": 1,
        "propagatePeerNum": 3,
        "pullInterval": "4s",
        "pullPeerNum": 3,
        "requestStateInfoInterval": "1s",
        "publishStateInfoInterval": "1s",
        "stateInfoRetentionInterval": "0s",
        "publishCertPeriod": "10s",
        "skipBlockVerification": False,
        "dialTimeout": "3s",
        "connTimeout": "2s",
        "recvBuffSize": 200,
        "sendBuffSize": 200,
        "digestWaitTime": "1s",
        "requestWaitTime": "1500ms",
        "responseWaitTime": "2s",
        "aliveTimeInterval": "1s",
        "aliveExpirationTimeout": "10s",
        "reconnectInterval": "1s",
        "maxConnectionAttempts": 120,
        "msgExpirationFactor": 20,
        "election": {
            "startupGracePeriod": "15s",
            "membershipSampleInterval": "1s",
            "leaderAliveThreshold": "10s",
            "leaderElectionDuration": "5s",
        },
        "pvtData": {
            "pullRetryThreshold": "60s",
            "transientstoreMaxBlockRetention": 1000,
            "pushAckTimeout": "3s",
            "btlPullMargin": 10,
            "reconcileBatchSize": 10,
            "reconcileSleepInterval": "1m",
            "reconciliationEnabled": True,
            "skipPullingInvalidTransactionsDuringCommit": False,
            "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
        },
        "state": {"enabled": False},
    }


def _tls(layout: Layout, topology: Topology, node: Node) -> Document:
    folder = layout.node(node.name) / "tls"
    certificate, key = {"file": str(folder / "cert.pem")}, {"file": str(folder / "key.pem")}
    members = dict.fromkeys(str(layout.tls_roots(msp_id)) for msp_id in topology.chain(node.chain).msp_ids)
    return {
        "enabled": True,
        "clientAuthRequired": topology.client_tls,
        "cert": certificate,
        "key": key,
        "rootcert": {"file": str(layout.tls_roots(node.msp_id))},
        "clientRootCAs": {"files": list(members)},
        "clientKey": key,
        "clientCert": certificate,
    }


def _chaincode(layout: Layout) -> Document:
    return {
        "externalBuilders": [
            {"name": BUILDER, "path": str(layout.builder), "propagateEnvironment": [CONNECTIONS, "PATH"]}
        ],
        "id": {"path": "", "name": ""},
        "builder": "",
        "pull": False,
        "installTimeout": "60s",
        "startuptimeout": "60s",
        "executetimeout": "30s",
        "mode": "net",
        "keepalive": 0,
        "system": {"_lifecycle": "enable", "cscc": "enable", "lscc": "enable", "qscc": "enable"},
        "logging": {"level": "info", "shim": "warning", "format": "%{message}"},
        "runtimeParams": {
            "useWriteBatch": True,
            "maxSizeWriteBatch": 1000,
            "useGetMultipleKeys": True,
            "maxSizeGetMultipleKeys": 1000,
        },
    }
