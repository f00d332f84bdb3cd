"""A client of Hyperledger Fabric's Gateway, on grpcio and the official protos.

It imports nothing else of this project, so that another can take the folder as it is. The words are those of
the official clients for Go, Node and Java; what they do, this does::

    from ledger.fabric import Endpoint, Identity, connect, private_key_sign

    peer = Endpoint("peer0.example.com:7051", tls_roots=roots_pem)
    identity = Identity("Org1MSP", certificate_pem)
    async with connect(peer, identity, sign=private_key_sign(key_pem)) as gateway:
        network = gateway.get_network("mychannel")
        contract = network.get_contract("basic")
        await contract.submit_transaction("CreateAsset", "asset1", "blue")
        print(await contract.evaluate_transaction("ReadAsset", "asset1"))
        async with network.get_chaincode_events("basic", start_block=0) as events:
            async for event in events:
                ...

``ledger.fabric.sync`` has the same words without ``await``, for programs with threads.

Beyond the official clients: streams open again where they were (``Backoff``); ``submit_until_committed``
tries read conflicts anew, resolves lost answers by the commit status and, with ``Endorsers``, asks those who
endorsed last without a first run; calls in flight are bounded below the peer's limit, and a peer that says it
is busy is asked again. Every stage can be signed elsewhere (``get_bytes``, ``get_digest``, ``new_signed_…``);
errors (``errors``) carry the transaction id and what each peer said.
"""

from .backoff import Backoff
from .checkpoints import Checkpoint, Checkpointer, FileCheckpointer, InMemoryCheckpointer
from .client import DEFAULT_IN_FLIGHT, DEFAULT_OPTIONS
from .connection import CallOptions, Endpoint, tls_certificate_hash
from .endorsers import Endorsers
from .errors import (
    ChaincodeResponse,
    CheckpointError,
    CommitError,
    CommitStatusError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    EventsError,
    GatewayClosed,
    GatewayError,
    MalformedMessage,
    OutcomeUnknown,
    SubmitError,
    status_name,
)
from .events import (
    BlockEventsRequest,
    ChaincodeEvent,
    ChaincodeEventsRequest,
    Events,
)
from .gateway import Contract, Gateway, Network, connect
from .identities import Hash, Identity, Sign, no_hash, private_key_sign, sha256, sha384
from .submission import Committed, Outcomes, order, submit_until_committed
from .transactions import Commit, Proposal, Status, SubmittedTransaction, Transaction

__all__ = [
    "DEFAULT_IN_FLIGHT",
    "DEFAULT_OPTIONS",
    "Backoff",
    "BlockEventsRequest",
    "CallOptions",
    "ChaincodeEvent",
    "ChaincodeEventsRequest",
    "ChaincodeResponse",
    "Checkpoint",
    "CheckpointError",
    "Checkpointer",
    "Commit",
    "CommitError",
    "CommitStatusError",
    "Committed",
    "Contract",
    "EndorseError",
    "Endorsers",
    "Endpoint",
    "ErrorDetail",
    "EvaluateError",
    "Events",
    "EventsError",
    "FileCheckpointer",
    "Gateway",
    "GatewayClosed",
    "GatewayError",
    "Hash",
    "Identity",
    "InMemoryCheckpointer",
    "MalformedMessage",
    "Network",
    "OutcomeUnknown",
    "Outcomes",
    "Proposal",
    "Sign",
    "Status",
    "SubmitError",
    "SubmittedTransaction",
    "Transaction",
    "connect",
    "no_hash",
    "order",
    "private_key_sign",
    "sha256",
    "sha384",
    "status_name",
    "submit_until_committed",
    "tls_certificate_hash",
]
