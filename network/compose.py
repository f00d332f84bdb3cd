"""A Compose file of a network's processes: one container each, over the same folder, on the host's network.

The containers see the files at the same paths as the host does and listen on the topology's own addresses, so
identities, genesis blocks and configuration are those that ``up`` made. Keys: the Compose specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from network.files import write_yaml
from network.rendering import Service

__all__ = ["IMAGES", "compose_document", "write_compose"]

IMAGES: Final = {
    "orderer": "hyperledger/fabric-orderer:${FABRIC_TAG:-3.1}",
    "peer": "hyperledger/fabric-peer:${FABRIC_TAG:-3.1}",
    # Anything with Python and this project's base requirements; docs/network.md has a Dockerfile.
    "chaincode": "${EDGEPROOF_IMAGE:-edgeproof:latest}",
}


def write_compose(services: Sequence[Service], file: Path) -> None:
    """Write the Compose file.

    Raises:
        NetworkError: the disk refuses.
    """
    write_yaml(file, compose_document(services))


def compose_document(services: Sequence[Service]) -> dict[str, Any]:
    """The document; it names no project, so that older versions of Compose take it too."""
    return {"services": {service.spec.name: _service(service) for service in services}}


def _service(service: Service) -> dict[str, Any]:
    program, *rest = service.spec.command
    # Programs are the image's own: `peer`, `orderer`, `python`.
    program = "python" if service.kind == "chaincode" else Path(program).name
    described: dict[str, Any] = {
        "image": IMAGES[service.kind],
        "container_name": f"edgeproof-{service.spec.name}",
        "command": [_literal(word) for word in (program, *rest)],
        "network_mode": "host",
        "user": "${EDGEPROOF_UID:?the owner of the network's folder}:${EDGEPROOF_GID:?its group}",
        "restart": "unless-stopped",
        "stop_grace_period": "15s",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - a mount point inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ulimits": {"nofile": {"soft": 65536, "hard": 65536}},
        "logging": {"driver": "json-file", "options": {"max-size": "8m", "max-file": "4"}},
        "volumes": [
            *(_mount(path, read_only=True) for path in service.readable),
            *(_mount(path, read_only=False) for path in service.writable),
        ],
    }
    if service.spec.environment:
        described["environment"] = {key: _literal(value) for key, value in service.spec.environment.items()}
    return described


def _mount(path: Path, *, read_only: bool) -> dict[str, Any]:
    mount: dict[str, Any] = {"type": "bind", "source": _literal(str(path)), "target": _literal(str(path))}
    if read_only:
        mount["read_only"] = True
    return mount


def _literal(text: str) -> str:
    """Text in which Compose replaces nothing."""
    return text.replace("$", "$$")
