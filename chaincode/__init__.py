"""The smart contracts of the chains, pure over a world-state port.

``api`` holds the typed arguments and results, ``payloads`` the form of a response payload, ``registry`` runs
a call, ``shim`` serves the contracts to a Fabric peer. Contracts touch no clock, randomness, disk or socket:
time, identity and state come in through ``Context``.

Who may call what (roles are those of ``identity.roles``; any identity of the chain may read):

=========================  ===========================================================================
organisations:register     an admin, for its own organisation only
devices:enrol, setStatus,  anybody of the chain: the owner's key authorises the change itself, and the
devices:grant              caller merely carries it
records:submit,            a gateway
records:submitBatch
inferences:record          a gateway, a client or a trainer
interlock:registerSource   an admin
interlock:replaceRoster,   anybody of the chain: quorum signatures carry them (a relay, as a rule)
interlock:accept, rebase
interlock:cut              a relay, an anchor signer or an admin
interlock:sign             an anchor signer of an organisation of this chain's own roster
runs:create                an aggregator or an admin of an organisation of main's roster, on main
runs:adopt                 anybody of the chain: main's anchor proves it
steps:submit               a trainer of an organisation of the edge's roster
models:commit              an aggregator of an organisation of main's roster, on main
models:publish             anybody of the chain: main's anchor proves it
attestations:attest        a trainer (on main: an aggregator) of a roster organisation, for itself
attestations:expire        anybody of the chain, after the deadline
=========================  ===========================================================================
"""

from chaincode.context import Context, WorldState
from chaincode.errors import ContractError
from chaincode.payloads import decode_result, encode_result

__all__ = ["Context", "ContractError", "WorldState", "decode_result", "encode_result"]
