"""The endorsing side of the embedded ledger: proposals are checked, simulated and signed.

Every organisation runs the contract for itself, on one snapshot, and signs only what it found; the
submitter's proposal is checked once, for all of them run here with the same code on the same bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from fabric_protos.peer import proposal_response_pb2

from chaincode.context import Context
from chaincode.errors import ContractError
from identity.errors import IdentityError
from identity.msp import Identity
from identity.signers import Signer, verify_ecdsa
from ledger.embedded.proposals import Proposal, endorse, response_payload
from ledger.embedded.simulator import Simulation
from ledger.errors import ContractRefused, EndorsementMismatch, LedgerError, ProposalRefused, Unavailable
from protocol.configuration import Configuration

__all__ = ["Invoke", "Peers"]

Invoke = Callable[[Context, str, bytes], bytes]
"""Runs a contract function: context, function's name, argument; answers the response payload."""

_TIME_WINDOW_MS: Final = 15 * 60 * 1000
"""Fabric's default of peer.authentication.timewindow: 15 minutes either way."""


class Peers:
    """The endorsing organisations of one chain, as far as their signers are here."""

    def __init__(
        self,
        configuration: Configuration,
        endorsers: Sequence[Signer],
        invoke: Invoke,
        clock: Callable[[], float],
    ) -> None:
        self._configuration = configuration
        self._endorsers = _choose(endorsers, configuration)
        self._invoke = invoke
        self._clock = clock

    def endorse(
        self, connection: sqlite3.Connection, proposal: Proposal
    ) -> tuple[bytes, bytes, list[proposal_response_pb2.Endorsement]]:
        """Have a proposal endorsed on the snapshot of ``connection``.

        Returns:
            ``peer.ProposalResponsePayload``, the contract's payload in it, and the organisations' signatures.

        Raises:
            ProposalRefused, ContractRefused, EndorsementMismatch.
            Unavailable: no endorser is here.
        """
        if not self._endorsers:
            raise Unavailable("this ledger was opened without endorsers")
        creator = self._check(proposal)
        self._check_signature(proposal, creator)
        agreed: bytes | None = None
        endorsements, payload = [], b""
        for endorser in self._endorsers:
            try:
                results, payload, event = self._run(connection, proposal, creator)
            except ContractRefused as error:
                if agreed is None:
                    raise
                raise EndorsementMismatch(
                    f"{endorser.msp_id} refuses ({error}) what {self._endorsers[0].msp_id} endorsed",
                    transaction=proposal.transaction,
                ) from error
            response = response_payload(proposal, results, payload, event)
            if agreed is not None and response != agreed:
                raise EndorsementMismatch(
                    f"{endorser.msp_id} found another result than {self._endorsers[0].msp_id}",
                    transaction=proposal.transaction,
                )
            agreed = response
            endorsements.append(endorse(endorser, response))
        assert agreed is not None
        return agreed, payload, endorsements

    def evaluate(self, connection: sqlite3.Connection, proposal: Proposal) -> bytes:
        """Run a proposal once and answer the contract's payload.

        Raises:
            ProposalRefused, ContractRefused.
        """
        return self._run(connection, proposal, self._check(proposal))[1]

    def _check(self, proposal: Proposal) -> Identity:
        """Fabric's TimeWindowCheck and ExpirationCheck (core/handlers/auth/filter), at the claimed time."""
        if proposal.chain != self._configuration.chain:
            raise ProposalRefused(f"this is {self._configuration.chain!r}, not {proposal.chain!r}")
        apart = proposal.timestamp_ms - int(self._clock() * 1000)
        if abs(apart) > _TIME_WINDOW_MS:
            raise ProposalRefused(
                f"the proposal's time is {abs(apart) // 1000} s {'ahead of' if apart > 0 else 'behind'} the "
                "peers' clock; 15 minutes are allowed: set the clock",
                transaction=proposal.transaction,
            )
        claimed = datetime.fromtimestamp(proposal.timestamp_ms / 1000, UTC)
        try:
            return self._configuration.msps.validate(proposal.creator, claimed)
        except IdentityError as error:
            raise ProposalRefused(f"identity: {error}", transaction=proposal.transaction) from error

    def _check_signature(self, proposal: Proposal, creator: Identity) -> None:
        try:
            verify_ecdsa(creator.spki, proposal.signed, proposal.signature)
        except IdentityError as error:
            raise ProposalRefused(f"signature: {error}", transaction=proposal.transaction) from error

    def _run(
        self, connection: sqlite3.Connection, proposal: Proposal, creator: Identity
    ) -> tuple[bytes, bytes, tuple[str, bytes] | None]:
        state = Simulation(connection, proposal.chaincode)
        context = Context(
            state=state,
            chain=proposal.chain,
            transaction_id=proposal.transaction,
            timestamp_ms=proposal.timestamp_ms,
            creator=creator,
        )
        function, argument = proposal.arguments[0].decode(), proposal.arguments[1]
        try:
            payload = self._invoke(context, function, argument)
            return state.results(), payload, state.event
        except ContractError as error:
            raise ContractRefused(
                error.code, error.message, error.status, error.details, transaction=proposal.transaction
            ) from error
        except (LedgerError, sqlite3.Error):
            raise
        except Exception as error:
            # A contract's own fault: what it says may hold what it read, so the caller gets none of it.
            raise ContractRefused(
                "internal-error", "the contract failed", 500, transaction=proposal.transaction
            ) from error
        finally:
            state.close()


def _choose(endorsers: Sequence[Signer], configuration: Configuration) -> tuple[Signer, ...]:
    """The first that the policy needs, one an organisation; all that there are where they do not suffice."""
    chosen: dict[str, Signer] = {}
    for endorser in endorsers:
        if endorser.msp_id in configuration.endorsement.organisations:
            chosen.setdefault(endorser.msp_id, endorser)
    if len(chosen) < configuration.endorsement.required:
        return tuple(endorsers)
    return tuple(chosen.values())[: configuration.endorsement.required]
