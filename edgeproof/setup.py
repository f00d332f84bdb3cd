"""Set-up of a deployment: genesis of every chain, and what the contracts must know before work starts.

On Fabric the network's bring-up makes the chains; what is left is to register (``adopt_network``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaincode.api import (
    GetOrganisation,
    GetSource,
    Message,
    Organisation,
    RegisterOrganisation,
    RegisterSource,
    Source,
)
from edgeproof.deployment import ChainPlan, Deployment, Plan
from edgeproof.wiring import Parts
from identity import Role
from ledger.embedded import EmbeddedLedger, build_genesis
from ledger.errors import ContractRefused
from ledger.port import Ledger, call, evaluate_typed
from protocol.anchors import Roster

__all__ = ["adopt_network", "make_deployment", "register", "register_chain"]


def make_deployment(root: Path, plan: Plan, modulus: Path | None = None) -> Deployment:
    """Make a whole deployment in ``root``: identities, ledgers, organisations, rosters.

    Killed half-way it leaves a folder without a plan file, which the next call clears.

    Args:
        root: the folder.
        plan: chains and organisations.
        modulus: a ceremony's modulus file for all chains; None: the RSA-2048 challenge.

    Raises:
        DeploymentError: ``root`` already holds one, or is not empty; or the modulus is too short.
        CeremonyFailed: the modulus file does not hold.
    """
    deployment = Deployment.prepare(root, plan)
    if modulus is not None:
        deployment.keep_modulus(modulus)
    for chain in plan.chains:
        block = build_genesis(
            chain.chain,
            [deployment.authority(name).fabric_msp_config() for name in chain.organisations],
            [deployment.orderer_authority(chain.chain).fabric_msp_config()],
            now=datetime.now(UTC),
            endorsements=2,
        )
        EmbeddedLedger.create(deployment.ledger_path(chain.chain), block)
        deployment.store_path(chain.chain).mkdir(mode=0o700, exist_ok=True)
    with Parts(deployment, "setup") as parts:
        register(deployment, parts)
    deployment.finish()
    return deployment


def adopt_network(root: Path) -> Deployment:
    """Make a deployment of a running Fabric network: its owners' keys, organisations, sources, and the plan.

    May be called again, and must be after an edge was added: what is there already is left as it is.

    Args:
        root: the network's folder, which holds every organisation's keys.

    Raises:
        NetworkError: there is no network.
        LedgerError: a chain does not take it.
    """
    from network.network import Network

    deployment = Deployment.adopt(root, Plan.of_network(Network(root).topology))
    with Parts(deployment, "setup") as parts:
        register(deployment, parts)
    deployment.finish()
    return deployment


def register(deployment: Deployment, parts: Parts) -> None:
    """Tell every chain its organisations, its own roster and the chains whose anchors it accepts.

    May be called again: what is registered already is left as it is.
    """
    for chain in deployment.plan.chains:
        register_chain(deployment, parts, chain)


def register_chain(deployment: Deployment, parts: Parts, chain: ChainPlan) -> None:
    """As ``register``, for one chain."""
    plan = deployment.plan
    for msp_id in chain.organisations:
        ledger = parts.ledger(chain.chain, msp_id, Role.ADMIN)
        organisation = Organisation(msp_id, msp_id, deployment.owner_key(msp_id).spki)
        if _known(ledger, GetOrganisation(msp_id)) != organisation:
            call(ledger, RegisterOrganisation(organisation))
    admin = parts.ledger(chain.chain, chain.operator, Role.ADMIN)
    others = plan.edges if chain == plan.main else (plan.main,)
    for source in (chain, *others):
        # A source's roster may have been replaced since: then it stays as it is.
        if _known(admin, GetSource(source.chain)) is None:
            call(admin, RegisterSource(_source(deployment, parts, source)))


def _known(ledger: Ledger, message: Message) -> Any:
    """What the chain answers, or None where it knows nothing of the kind."""
    try:
        return evaluate_typed(ledger, message)
    except ContractRefused as error:
        if error.status != 404:
            raise
        return None


def _source(deployment: Deployment, parts: Parts, chain: ChainPlan) -> Source:
    modulus = parts.parameters(chain.chain).modulus
    return Source(
        chain=chain.chain,
        modulus=modulus.n.to_bytes((modulus.n.bit_length() + 7) // 8, "big"),
        origin=modulus.origin,
        roster=Roster(
            chain=chain.chain,
            version=1,
            threshold=2,
            keys={name: deployment.public_key(name, Role.ANCHOR_SIGNER) for name in chain.organisations},
        ),
    )
