"""The organisations' identities: made by their development authorities.

Everything here can be called again: what is there and fits is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from identity import DevelopmentAuthority, IdentityError, Role, Signer, write_msp_folder
from network.errors import IdentityProblem
from network.layout import Layout
from network.topology import Node

__all__ = ["MEMBER_ROLES", "make_node_identities", "make_organisations"]

MEMBER_ROLES: Final = (
    Role.ADMIN,
    Role.CLIENT,
    Role.GATEWAY,
    Role.RELAY,
    Role.ANCHOR_SIGNER,
    Role.TRAINER,
    Role.AGGREGATOR,
    Role.AUDITOR,
)
"""One identity of each for every organisation; those of peers and orderers belong to their processes."""

_SKEW = timedelta(minutes=5)  # hosts' clocks differ: what is valid from now is not valid yet elsewhere
_TLS = "tls"


def make_organisations(layout: Layout, msp_ids: Iterable[str]) -> None:
    """Authorities, members' identities and public MSP folder of organisations.

    Raises:
        IdentityProblem: what is there cannot be used.
    """
    for msp_id in msp_ids:
        try:
            _make_organisation(layout, msp_id)
        except IdentityError as error:
            raise IdentityProblem(f"organisation {msp_id}: {error}") from error


def make_node_identities(layout: Layout, nodes: Iterable[Node]) -> None:
    """Local MSP and TLS identity of each process.

    Raises:
        IdentityProblem: what is there cannot be used.
    """
    for node in nodes:
        try:
            _make_node(layout, node)
        except IdentityError as error:
            raise IdentityProblem(f"{node.name}: {error}") from error


def _make_organisation(layout: Layout, msp_id: str) -> None:
    now = datetime.now(UTC)
    authority = _authority(layout.authority(msp_id), msp_id, now, None)
    tls = _authority(layout.tls_authority(msp_id), msp_id, now, f"tlsca.{msp_id}")
    write_msp_folder(
        layout.msp(msp_id),
        roots=authority.root_certificate_pem,
        tls_roots=tls.root_certificate_pem,
        revocation_list=authority.revocation_list_pem,
    )
    for role in MEMBER_ROLES:
        folder = layout.identity(msp_id, role.value)
        if not (folder / "cert.pem").exists():
            authority.issue(f"{role.value}.{msp_id}", role, now=now).save(folder)
    admin = layout.identity(msp_id, Role.ADMIN.value)
    if not (admin / _TLS / "cert.pem").exists():
        tls.issue_tls(f"admin.{msp_id}", (), now=now).save(admin / _TLS)
    # Fabric's tools read an administrator from an MSP folder.
    write_msp_folder(
        admin / "msp",
        roots=authority.root_certificate_pem,
        tls_roots=tls.root_certificate_pem,
        signer=Signer.load(admin, msp_id=msp_id),
    )


def _authority(folder: Path, msp_id: str, now: datetime, common_name: str | None) -> DevelopmentAuthority:
    if (folder / "cert.pem").exists():
        return DevelopmentAuthority.load(folder)
    return DevelopmentAuthority.create(msp_id, folder, now=now - _SKEW, common_name=common_name)


def _make_node(layout: Layout, node: Node) -> None:
    now = datetime.now(UTC)
    folder = layout.node(node.name)
    tls = DevelopmentAuthority.load(layout.tls_authority(node.msp_id))
    if not (folder / _TLS / "cert.pem").exists():
        names = (node.address, node.name, *(("localhost",) if node.address == "127.0.0.1" else ()))
        tls.issue_tls(node.name[:64], names, now=now - _SKEW).save(folder / _TLS)
    if node.kind == "chaincode":
        return
    authority = DevelopmentAuthority.load(layout.authority(node.msp_id))
    home = folder / "identity"
    if not (home / "cert.pem").exists():
        authority.issue(node.name[:64], Role(node.kind), now=now).save(home)
    write_msp_folder(
        folder / "msp",
        roots=authority.root_certificate_pem,
        tls_roots=tls.root_certificate_pem,
        revocation_list=authority.revocation_list_pem,
        signer=Signer.load(home, msp_id=node.msp_id),
    )
