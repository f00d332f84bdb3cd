"""The organisations' identities: made by their development authorities, or brought along and checked.

Everything here can be called again: what is there and fits is kept. Hosts' clocks differ, so what is made is
valid from a little before it was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from identity import DevelopmentAuthority, IdentityError, Role, Signer, write_local_msp, write_msp_folder
from network.errors import IdentityProblem
from network.files import write_bytes
from network.layout import Layout
from network.own_material import brings_its_own, check_node, check_organisation, tls_roots_of
from network.topology import ChainSpec, Node

__all__ = [
    "MEMBER_ROLES",
    "SKEW",
    "make_guest",
    "make_node_identities",
    "make_organisations",
    "tls_names",
    "write_folders",
    "write_node_folder",
]

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

SKEW: Final = timedelta(minutes=5)
_CERTIFICATE: Final = "cert.pem"
_MAX_NAME: Final = 64  # RFC 5280, ub-common-name


def make_organisations(layout: Layout, chains: Iterable[ChainSpec]) -> None:
    """Authorities, members' identities and public MSP folder of the organisations of some chains.

    Raises:
        IdentityProblem: what is there cannot be used.
    """
    needed: dict[str, set[Role]] = {}
    for chain in chains:
        for msp_id in chain.msp_ids:
            needed.setdefault(msp_id, {Role.ADMIN})
        for msp_id in chain.organisations:
            # Every organisation with a peer signs anchors; the chains are told its key when they are set up.
            needed[msp_id].add(Role.ANCHOR_SIGNER)
    for msp_id, roles in needed.items():
        try:
            if brings_its_own(layout, msp_id):
                check_organisation(layout, msp_id, roles)
            else:
                _make_organisation(layout, msp_id)
            write_folders(layout, msp_id)
        except IdentityError as error:
            raise IdentityProblem(f"organisation {msp_id}: {error}") from error


def make_node_identities(layout: Layout, nodes: Iterable[Node]) -> None:
    """Local MSP and TLS identity of each process; its organisation's are there.

    Raises:
        IdentityProblem: what is there cannot be used.
    """
    for node in nodes:
        try:
            if brings_its_own(layout, node.msp_id):
                check_node(layout, node)
            else:
                _make_node(layout, node)
            write_node_folder(layout, node)
        except IdentityError as error:
            raise IdentityProblem(f"{node.name}: {error}") from error


def write_folders(layout: Layout, msp_id: str) -> None:
    """What Fabric's programs read of an organisation, from what is kept of it.

    Raises:
        IdentityProblem, IdentityError: what is kept cannot be used.
    """
    if not brings_its_own(layout, msp_id):
        authority = DevelopmentAuthority.load(layout.authority(msp_id))
        write_msp_folder(
            layout.msp(msp_id),
            roots=authority.root_certificate_pem,
            tls_roots=DevelopmentAuthority.load(layout.tls_authority(msp_id)).root_certificate_pem,
            revocation_list=authority.revocation_list_pem,
        )
    write_bytes(layout.tls_roots(msp_id), tls_roots_of(layout, msp_id))
    # Fabric's tools read an administrator from an MSP folder.
    admin = layout.identity(msp_id, Role.ADMIN.value)
    write_local_msp(admin / "msp", layout.msp(msp_id), Signer.load(admin, msp_id=msp_id))


def write_node_folder(layout: Layout, node: Node) -> None:
    """The local MSP of a peer or an orderer, from what is kept of it.

    Raises:
        IdentityError: what is kept cannot be used.
    """
    if node.kind != "chaincode":
        folder = layout.node(node.name)
        signer = Signer.load(folder / "identity", msp_id=node.msp_id)
        write_local_msp(folder / "msp", layout.msp(node.msp_id), signer)


def make_guest(layout: Layout, msp_id: str, host: str) -> Path:
    """The certificate by which another host's clients are let in to the organisation's peer, with mutual TLS.

    Returns:
        Its folder; what is there is kept.

    Raises:
        IdentityProblem: the organisation brings its own, and has not brought this one; or it cannot be used.
    """
    folder = layout.guest_tls_folder(msp_id, host)
    if (folder / _CERTIFICATE).exists():
        return folder
    if brings_its_own(layout, msp_id):
        raise IdentityProblem(
            f"{folder} is missing: {msp_id} brings its own identities, and {host} needs a TLS certificate of "
            "its authority to be let in to its peer"
        )
    try:
        tls = DevelopmentAuthority.load(layout.tls_authority(msp_id))
        name = f"{host}.client.{msp_id}"[:_MAX_NAME]
        tls.issue_tls(name, (), now=_from(tls)).save(folder)
    except IdentityError as error:
        raise IdentityProblem(f"{folder}: {error}") from error
    return folder


def tls_names(node: Node) -> tuple[str, ...]:
    """The names that a process's TLS certificate must carry."""
    return (node.address, node.name, *(("localhost",) if node.address == "127.0.0.1" else ()))


def _make_organisation(layout: Layout, msp_id: str) -> None:
    start = datetime.now(UTC) - SKEW
    authority = _authority(layout.authority(msp_id), msp_id, start, None)
    tls = _authority(layout.tls_authority(msp_id), msp_id, start, f"tlsca.{msp_id}")
    for role in MEMBER_ROLES:
        folder = layout.identity(msp_id, role.value)
        if not (folder / _CERTIFICATE).exists():
            authority.issue(f"{role.value}.{msp_id}", role, now=_from(authority)).save(folder)
    folder = layout.client_tls_folder(msp_id)
    if not (folder / _CERTIFICATE).exists():
        tls.issue_tls(f"client.{msp_id}", (), now=_from(tls)).save(folder)


def _make_node(layout: Layout, node: Node) -> None:
    folder = layout.node(node.name)
    name = node.name[:_MAX_NAME]
    if not (folder / "tls" / _CERTIFICATE).exists():
        tls = DevelopmentAuthority.load(layout.tls_authority(node.msp_id))
        tls.issue_tls(name, tls_names(node), now=_from(tls)).save(folder / "tls")
    if node.kind != "chaincode" and not (folder / "identity" / _CERTIFICATE).exists():
        authority = DevelopmentAuthority.load(layout.authority(node.msp_id))
        authority.issue(name, Role(node.kind), now=_from(authority)).save(folder / "identity")


def _authority(folder: Path, msp_id: str, start: datetime, common_name: str | None) -> DevelopmentAuthority:
    if (folder / _CERTIFICATE).exists():
        return DevelopmentAuthority.load(folder)
    # A key without certificate was left by a process killed in between: nothing was ever issued under it.
    (folder / "key.pem").unlink(missing_ok=True)
    return DevelopmentAuthority.create(msp_id, folder, now=start, common_name=common_name)


def _from(authority: DevelopmentAuthority) -> datetime:
    """A start of validity a little ago, but not before the authority's own."""
    return max(datetime.now(UTC) - SKEW, authority.valid_from)
