"""The processes of a deployment on one machine, as command lines for the supervisor."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from edgeproof.deployment import Deployment
from identity import Role
from network.child import ProcessSpec

__all__ = ["service_specs", "training_specs"]


def service_specs(deployment: Deployment, ports: Mapping[str, int]) -> Iterator[ProcessSpec]:
    """Gateways, anchor signers and the relay, as far as their keys are on this host.

    Args:
        deployment: the deployment.
        ports: loopback port of each edge's gateway.
    """
    for edge in deployment.plan.edges:
        if not deployment.has_key(edge.operator, Role.GATEWAY):
            continue
        yield _serve(
            deployment,
            f"gateway-{edge.chain}",
            "gateway",
            "--edge",
            edge.chain,
            "--port",
            str(ports[edge.chain]),
        )
    for chain, msp_id in deployment.organisations():
        if deployment.has_key(msp_id, Role.ANCHOR_SIGNER):
            yield _serve(
                deployment, f"signer-{msp_id}", "signer", "--chain", chain.chain, "--organisation", msp_id
            )
    if all(deployment.has_key(chain.operator, Role.RELAY) for chain in deployment.plan.chains):
        yield _serve(deployment, "relay", "relay")


def training_specs(deployment: Deployment, run: str) -> Iterator[ProcessSpec]:
    """One training peer for each organisation of each edge, one aggregator for each of main's."""
    for edge in deployment.plan.edges:
        for msp_id in edge.organisations:
            yield _serve(
                deployment,
                f"peer-{msp_id}",
                "peer",
                "--edge",
                edge.chain,
                "--organisation",
                msp_id,
                "--run",
                run,
            )
    for msp_id in deployment.plan.main.organisations:
        yield _serve(deployment, f"aggregator-{msp_id}", "aggregator", "--organisation", msp_id, "--run", run)


def _serve(deployment: Deployment, name: str, kind: str, *arguments: str) -> ProcessSpec:
    command = [
        sys.executable,
        "-m",
        "edgeproof",
        "--log-level",
        "INFO",
        "serve",
        kind,
        "--deployment",
        str(deployment.root),
        "--with-parent",
        *arguments,
    ]
    return ProcessSpec(name, command)
