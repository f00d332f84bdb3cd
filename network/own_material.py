"""Identities that an organisation brings along, from Fabric CA or any other authority: checked, never made.

An organisation brings its own where ``identities/<msp>/msp`` is there and ``identities/<msp>/authority`` is
not. docs/network.md says which files are wanted where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from fabric_protos.msp import msp_config_pb2

from identity import IdentityError, Msp, Role, Signer, TlsIdentity
from identity.certificates import read_pem
from network.errors import IdentityProblem
from network.layout import Layout
from network.topology import Node

__all__ = ["brings_its_own", "check_node", "check_organisation", "msp_files", "read_msp", "tls_roots_of"]

_CLASSES: Final = ("Client", "Peer", "Admin", "Orderer")


def brings_its_own(layout: Layout, msp_id: str) -> bool:
    """Whether the organisation's identities are not for us to make."""
    return layout.msp(msp_id).is_dir() and not layout.authority(msp_id).exists()


def read_msp(folder: Path, msp_id: str) -> Msp:
    """Read an organisation's MSP folder as Fabric does, with our stricter rules.

    Raises:
        IdentityProblem: a part is missing or cannot be used.
    """
    try:
        document = yaml.safe_load((folder / "config.yaml").read_bytes())
        units = document["NodeOUs"]
        if units["Enable"] is not True:
            raise IdentityProblem(f"{folder / 'config.yaml'}: NodeOUs must be enabled")
        named = {
            f"{name.lower()}_ou_identifier": _unit(folder, units[f"{name}OUIdentifier"]) for name in _CLASSES
        }
    except OSError as error:
        raise IdentityProblem(f"{error.filename} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise IdentityProblem(
            f"{folder / 'config.yaml'} must enable NodeOUs and name all four classes: {error}"
        ) from error
    inner = msp_config_pb2.FabricMSPConfig(
        name=msp_id,
        root_certs=msp_files(folder / "cacerts"),
        intermediate_certs=msp_files(folder / "intermediatecerts"),
        revocation_list=msp_files(folder / "crls"),
        fabric_node_ous=msp_config_pb2.FabricNodeOUs(enable=True, **named),
    )
    try:
        return Msp.from_config(msp_config_pb2.MSPConfig(type=0, config=inner.SerializeToString()))
    except IdentityError as error:
        raise IdentityProblem(f"{folder}: {error}") from error


def tls_roots_of(layout: Layout, msp_id: str) -> bytes:
    """The authorities of the organisation's TLS endpoints, PEM.

    Raises:
        IdentityProblem: there are none.
    """
    folder = layout.msp(msp_id)
    found = msp_files(folder / "tlscacerts") + msp_files(folder / "tlsintermediatecerts")
    if not found:
        raise IdentityProblem(f"{folder / 'tlscacerts'} holds no certificate")
    return b"".join(pem.rstrip() + b"\n" for pem in found)


def check_organisation(layout: Layout, msp_id: str, needed: Iterable[Role]) -> None:
    """An organisation's own MSP folder, members, and its and other hosts' clients' TLS identities.

    Args:
        layout: of the network.
        msp_id: the organisation.
        needed: roles that must be there; others are checked where they are.

    Raises:
        IdentityProblem: naming everything that is missing or does not fit.
    """
    msp = read_msp(layout.msp(msp_id), msp_id)
    wanted = set(needed)
    problems: list[str] = []
    for role in Role:
        folder = layout.identity(msp_id, role.value)
        if role in wanted or folder.exists():
            problems += _member(msp, folder, role)
    own = layout.client_tls_folder(msp_id)
    for folder in (own, *sorted(own.parent.glob(f"{own.name}.*"))):
        problems += _endpoint(tls_roots_of(layout, msp_id), folder, None)
    _raise(problems)


def check_node(layout: Layout, node: Node) -> None:
    """What a process of such an organisation needs, and what it shall take over next.

    Raises:
        IdentityProblem: naming everything that is missing or does not fit.
    """
    folder = layout.node(node.name)
    waits = layout.next_folder(node.name)
    problems: list[str] = []
    for place in (folder / "tls", waits / "tls"):
        if place.parent == folder or place.exists():
            problems += _endpoint(tls_roots_of(layout, node.msp_id), place, node)
    if node.kind != "chaincode":
        msp = read_msp(layout.msp(node.msp_id), node.msp_id)
        for place in (folder / "identity", waits / "identity"):
            if place.parent == folder or place.exists():
                problems += _member(msp, place, Role(node.kind))
    _raise(problems)


def _member(msp: Msp, folder: Path, role: Role) -> Iterator[str]:
    try:
        signer = Signer.load(folder, msp_id=msp.msp_id)
        identity = msp.validate(signer.serialized(), at=datetime.now(UTC))
    except IdentityError as error:
        yield f"{folder}: {error}"
        return
    if identity.role is not role:
        yield f"{folder}: by its OUs the certificate is for {identity.role.value}, not for {role.value}"


def _endpoint(roots: bytes, folder: Path, node: Node | None) -> Iterator[str]:
    """A TLS identity: of these authorities, in force, and for a process with its address."""
    try:
        identity = TlsIdentity.load(folder)
        certificate = read_pem(identity.certificate_pem)
    except IdentityError as error:
        yield f"{folder}: {error}"
        return
    if not any(_issued_by(certificate, root) for root in x509.load_pem_x509_certificates(roots)):
        yield f"{folder}: the certificate is of none of the authorities in the organisation's msp/tlscacerts"
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        yield f"{folder}: the certificate is not in force"
    if node is not None:
        # Others connect by the address; our clients check the process's name.
        missing = [name for name in (node.address, node.name) if name not in identity.hosts]
        if missing:
            yield f"{folder}: the certificate's alternative names lack {' and '.join(missing)}"


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def msp_files(folder: Path) -> list[bytes]:
    """The contents of a part of an MSP folder, by the files' names."""
    if not folder.is_dir():
        return []
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


def _unit(folder: Path, entry: dict[str, Any]) -> msp_config_pb2.FabricOUIdentifier:
    certificate = entry.get("Certificate")
    return msp_config_pb2.FabricOUIdentifier(
        certificate=(folder / certificate).read_bytes() if certificate else b"",
        organizational_unit_identifier=entry["OrganizationalUnitIdentifier"],
    )


def _raise(problems: list[str]) -> None:
    if problems:
        raise IdentityProblem("identities that do not fit:\n  " + "\n  ".join(problems))
