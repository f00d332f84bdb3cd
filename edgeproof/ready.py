"""The network's ``ReadyProbe``: whether a chain takes real transactions, at every organisation's peer."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaincode.api import GetOrganisation, Organisation, RegisterOrganisation
from edgeproof.deployment import ChainPlan, Deployment, Plan
from edgeproof.setup import register_chain
from edgeproof.wiring import Parts
from identity import Role
from ledger.errors import ContractRefused, InvalidTransaction, LedgerError
from ledger.port import call, evaluate_typed
from network.errors import NotReady

if TYPE_CHECKING:
    from network.network import Network

__all__ = ["probe"]

_log = logging.getLogger(__name__)
_PAUSE_S: Final = 0.2
_ATTEMPT_S: Final = 10.0


def probe(network: Network, chain: str, *, timeout_s: float = 60.0) -> None:
    """Register what a chain must know, by a real transaction that two organisations endorse, and read it back
    at every organisation's own peer and gateway.

    May be called at any time, again and again: each call records the operator's organisation anew (the same
    again where nothing has changed), whatever else is registered stays as it is.

    Args:
        network: the running network.
        chain: the chain to ask.
        timeout_s: seconds in which all of it must come about; peers that have just started refuse at first.

    Raises:
        NotReady: it did not, with the last reason.
        ContractRefused: the chain is somebody else's: the contract refuses what we register.
        InvalidTransaction: too few organisations endorsed, or another lasting reason.
    """
    end = time.monotonic() + timeout_s
    deployment = Deployment.adopt(network.root, Plan.of_network(network.topology))
    plan = deployment.plan.chain(chain)
    with (
        tempfile.TemporaryDirectory(prefix="edgeproof-probe-") as scratch,
        Parts(deployment, "probe", caches=Path(scratch)) as parts,
    ):
        while True:
            try:
                _ask(deployment, parts, plan, end)
            except LedgerError as error:
                # A conflict with somebody who registers the same just now passes; other verdicts stay.
                if isinstance(error, ContractRefused | InvalidTransaction) and not error.retryable:
                    raise
                if time.monotonic() > end:
                    raise NotReady(
                        f"{chain} takes no transactions after {timeout_s:.0f} s: {error}"
                    ) from error
                _log.debug("%s is not ready yet: %s", chain, error)
                time.sleep(_PAUSE_S)
            else:
                return


def _ask(deployment: Deployment, parts: Parts, plan: ChainPlan, end: float) -> None:
    operator = plan.operator
    organisation = Organisation(operator, operator, deployment.owner_key(operator).spki)
    admin = parts.ledger(plan.chain, operator, Role.ADMIN)
    call(admin, RegisterOrganisation(organisation), timeout=_ATTEMPT_S)
    height = admin.information().height
    register_chain(deployment, parts, plan)
    for msp_id in plan.organisations:
        ledger = parts.ledger(plan.chain, msp_id, Role.ADMIN)
        # Its own peer may come a moment after the one that was written through.
        ledger.wait(height - 1, max(0.1, end - time.monotonic()))
        evaluate_typed(ledger, GetOrganisation(operator))
