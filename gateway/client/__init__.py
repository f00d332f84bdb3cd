"""The device's side of the gateway: a small client on requests alone (no flask, no grpc)."""

from gateway.client.device import DeviceClient, GatewayClient, RecordedReading
from gateway.client.errors import BadAnswer, ClientError, Refused, Unreachable
from gateway.client.http import Transport
from gateway.client.owners import enrolment, grant, owner_authorisation, status_change
from gateway.client.readings import PreparedReading, ReadingSigner

__all__ = [
    "BadAnswer",
    "ClientError",
    "DeviceClient",
    "GatewayClient",
    "PreparedReading",
    "ReadingSigner",
    "RecordedReading",
    "Refused",
    "Transport",
    "Unreachable",
    "enrolment",
    "grant",
    "owner_authorisation",
    "status_change",
]
