"""An orderer's ``orderer.yaml``, in full; as ``peer_config`` does for peers."""

from __future__ import annotations

from typing import Any, Final

from network.layout import Layout
from network.topology import Node, Topology

__all__ = ["orderer_config"]

_MAX_MESSAGE: Final = 100 * 1024 * 1024

Document = dict[str, Any]


def orderer_config(layout: Layout, topology: Topology, node: Node) -> Document:
    """The document of one orderer."""
    folder = layout.node(node.name)
    data = folder / "data"
    certificate, key = str(folder / "tls" / "cert.pem"), str(folder / "tls" / "key.pem")
    members = [str(layout.tls_roots(msp_id)) for msp_id in topology.chain(node.chain).msp_ids]
    # The other orderers of the channel show certificates of these too; the channel's configuration adds them
    # once it is known.
    return {
        "General": {
            "ListenAddress": node.listens_at("grpc"),
            "ListenPort": node.ports["grpc"],
            "TLS": {
                "Enabled": True,
                "PrivateKey": key,
                "Certificate": certificate,
                "RootCAs": members,
                "ClientAuthRequired": topology.client_tls,
                "ClientRootCAs": members,
                "TLSHandshakeTimeShift": "0s",
            },
            "Keepalive": {"ServerMinInterval": "10s", "ServerInterval": "7200s", "ServerTimeout": "20s"},
            "Backoff": {"BaseDelay": "200ms", "Multiplier": 1.6, "MaxDelay": "5s"},
            "MaxRecvMsgSize": _MAX_MESSAGE,
            "MaxSendMsgSize": _MAX_MESSAGE,
            "Throttling": {"Rate": 0, "InactivityTimeout": "5s"},
            "Cluster": {
                "SendBufferSize": 100,
                "ClientCertificate": certificate,
                "ClientPrivateKey": key,
                "DialTimeout": "3s",
                "RPCTimeout": "7s",
                "ReplicationBufferSize": 20 * 1024 * 1024,
                "ReplicationPullTimeout": "5s",
                "ReplicationRetryTimeout": "1s",
                "ReplicationMaxRetries": 12,
                "ReplicationPolicy": "",
                "TLSHandshakeTimeShift": "0s",
            },
            "BootstrapMethod": "none",
            "BootstrapFile": "",
            "LocalMSPDir": str(folder / "msp"),
            "LocalMSPID": node.msp_id,
            "Profile": {"Enabled": False, "Address": "127.0.0.1:6060"},
            "BCCSP": {
                "Default": "SW",
                "SW": {"Hash": "SHA2", "Security": 256, "FileKeyStore": {"KeyStore": ""}},
            },
            "Authentication": {"TimeWindow": "15m", "NoExpirationChecks": False},
        },
        "FileLedger": {"Location": str(data / "ledger")},
        "Debug": {"BroadcastTraceDir": "", "DeliverTraceDir": ""},
        "Operations": {
            "ListenAddress": node.bound("operations"),
            "TLS": {"Enabled": False},
        },
        "Metrics": {"Provider": "prometheus"},
        "Admin": {
            "ListenAddress": node.bound("admin"),
            "TLS": {
                "Enabled": True,
                "Certificate": certificate,
                "PrivateKey": key,
                "ClientAuthRequired": True,
                "ClientRootCAs": [str(layout.tls_roots(node.msp_id))],
            },
        },
        "ChannelParticipation": {"Enabled": True, "MaxRequestBodySize": "1 MB"},
        "Consensus": {
            "WALDir": str(data / "consensus" / "wal"),
            "SnapDir": str(data / "consensus" / "snapshot"),
        },
    }
