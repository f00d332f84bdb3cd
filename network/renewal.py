"""When identities expire, and certifying them again on a network that runs.

Only what our development authorities issued can be renewed here; an organisation that brings its own replaces
the files and lets ``up`` check them. Authorities themselves are not renewed: another one is published to the
organisation's chains (``network.membership``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from identity import DevelopmentAuthority, IdentityError, Role, Signer, TlsIdentity
from identity.certificates import common_name_of, read_pem
from network.bringup import prepare
from network.consenters import keeps_tls_key, settle_orderers, waiting
from network.control import Keeper
from network.errors import IdentityProblem
from network.identities import SKEW, tls_names
from network.layout import Layout
from network.network import Network
from network.own_material import brings_its_own
from network.packages import packages_in_use
from network.processes import chaincode_node
from network.records import Record, Records, working_alone
from network.restarts import wait_until_it_listens
from network.topology import Node

__all__ = ["SOON", "IdentityStatus", "check_new_keys", "holders", "identities", "renew"]

SOON: Final = timedelta(days=30)


@dataclass(frozen=True)
class IdentityStatus:
    """One certificate of a network."""

    name: str
    """The folder of certificate and key, below the network's; what ``renew`` takes."""
    msp_id: str
    common_name: str
    valid_until: datetime
    issuer: str
    """``authority`` for one that is its own; ``ours`` where the development authority issued it; ``own``
    where the organisation brought it along."""
    node: str
    """The process that uses it, to be restarted after a change; empty for a member."""

    def days_left(self, now: datetime | None = None) -> int:
        """Whole days until it expires; negative after that."""
        return (self.valid_until - (now or datetime.now(UTC))).days


def identities(root: Path) -> list[IdentityStatus]:
    """Every certificate below a network's folder that has its key there, the first to expire first.

    Raises:
        NetworkError: there is no network.
        IdentityProblem: a certificate cannot be read.
    """
    network = Network(root)
    return sorted(_all(network), key=lambda status: (status.valid_until, status.name))


def renew(
    root: Path,
    names: Sequence[str] = (),
    *,
    new_keys: bool = False,
    within: timedelta = SOON,
    lifetime: timedelta = timedelta(days=365),
    host: str | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[IdentityStatus]:
    """Certify identities again, and restart the processes that use them, one after the other.

    While one process of a chain restarts the others go on; with two organisations on a chain, or one orderer,
    the chain takes no transactions for these seconds, and clients try again.

    Args:
        root: the network's folder.
        names: which, as ``identities`` names them; those that expire ``within`` where none are given.
        new_keys: also make new keys. Those of orderers are made known to their channel first, which must be
            running; the only orderer of a Raft chain keeps its TLS key.
        within: what is soon.
        lifetime: of the new certificates, cut where the authority's own ends.
        host: the host of the topology that this is, where there are several.
        progress: called with one line a step.

    Returns:
        What was renewed, as it is now.

    Raises:
        IdentityProblem: no such identity, or one that cannot be renewed here.
        NotReady: a process does not come back.
        NetworkError: there is no network, or another command is changing it.
    """
    network = Network(root)
    layout = network.layout
    chosen = _chosen(identities(root), names, within)
    nodes = {node.name: node for node in network.topology.nodes}
    with working_alone(layout.run):
        for status in chosen:
            if new_keys:
                check_new_keys(network, status)
        for status in chosen:
            progress(f"Certifying {status.name}")
            _certify(layout, status, nodes.get(status.node), new_keys=new_keys, lifetime=lifetime)
        hosts = [name for name in network.topology.hosts if host in (None, name)]
        for name in hosts:
            here = [chain for chain in network.topology.chains if chain.host == name]
            own = [node for node in network.topology.nodes if node.host == name]
            if all(layout.node(node.name).is_dir() for node in own):
                prepare(layout, network.topology, here, own)
        used = {status.node for status in chosen}
        ours = [node for node in nodes.values() if node.host in hosts and node.name in used]
        for node in ours:
            if not waiting(layout, node):
                _restart(layout, node, progress)
        for name in dict.fromkeys(node.chain for node in ours if node.kind == "orderer"):
            if Keeper.find(layout.root, network.chain(name).host) is not None:
                settle_orderers(network, name, lambda node: _restart(layout, node, progress), progress)
    renewed = {status.name for status in chosen}
    return [status for status in identities(root) if status.name in renewed]


def check_new_keys(network: Network, status: IdentityStatus) -> None:
    """Whether an identity can get a new key.

    Raises:
        IdentityProblem: a chain names its key, and cannot be told another one, or not now.
    """
    nodes = {node.name: node for node in network.topology.nodes}
    node = nodes.get(status.node)
    if Path(status.name).name == Role.ANCHOR_SIGNER.value:
        raise IdentityProblem(
            f"{status.name}: an anchor signer keeps its key, which the chains' rosters name; renew it "
            "without new keys"
        )
    if node is None or node.kind != "orderer":
        return
    if status.name.endswith("/tls") and keeps_tls_key(network.topology, node):
        raise IdentityProblem(
            f"{status.name}: the only orderer of a Raft chain keeps its TLS key, which the channel names; "
            "renew it without new keys"
        )
    if Keeper.find(network.root, node.host) is None:
        raise IdentityProblem(
            f"{status.name}: the channel must know an orderer's new key before it is used: `up` first"
        )


def holders(root: Path, renewed: Sequence[IdentityStatus]) -> list[Record]:
    """Who still uses the former certificates of members (gateways, relays, signers and the like read theirs
    when they start): the supervisors over this folder that run, ``edgeproof run`` for one.

    Args:
        root: the network's folder.
        renewed: what ``renew`` returned; processes of the network itself were restarted by it.
    """
    if all(status.node for status in renewed):
        return []
    return Records(Layout.of(root).run).living("supervisor")


def _all(network: Network) -> Iterator[IdentityStatus]:
    layout = network.layout
    for msp_id in network.topology.msp_ids:
        folder = layout.organisation(msp_id)
        for path in sorted(folder.glob("*/cert.pem")) if folder.is_dir() else ():
            yield _status(layout, path.parent, msp_id, "")
    for node in network.topology.nodes:
        for part in ("identity", "tls"):
            path = layout.node(node.name) / part
            if (path / "cert.pem").is_file():
                yield _status(layout, path, node.msp_id, node.name)


def _status(layout: Layout, folder: Path, msp_id: str, node: str) -> IdentityStatus:
    name = str(folder.relative_to(layout.root))
    try:
        certificate = read_pem((folder / "cert.pem").read_bytes(), strict=False)
        common_name = common_name_of(certificate)
    except (IdentityError, OSError) as error:
        raise IdentityProblem(f"{name}: {error}") from error
    if folder in (layout.authority(msp_id), layout.tls_authority(msp_id)):
        issuer = "authority"
    else:
        issuer = "own" if brings_its_own(layout, msp_id) else "ours"
    return IdentityStatus(name, msp_id, common_name, certificate.not_valid_after_utc, issuer, node)


def _chosen(known: Sequence[IdentityStatus], names: Sequence[str], within: timedelta) -> list[IdentityStatus]:
    if not names:
        limit = datetime.now(UTC) + within
        return [status for status in known if status.issuer == "ours" and status.valid_until < limit]
    found = {status.name: status for status in known}
    for name in names:
        if name not in found:
            raise IdentityProblem(f"there is no identity {name!r}; `edgeproof network identities` lists them")
        if found[name].issuer == "authority":
            raise IdentityProblem(f"{name}: an authority is replaced by changing the channels' configuration")
        if found[name].issuer == "own":
            raise IdentityProblem(
                f"{name}: {found[name].msp_id} brings its own; replace the files, then `up`"
            )
    return [found[name] for name in dict.fromkeys(names)]


def _certify(
    layout: Layout, status: IdentityStatus, node: Node | None, *, new_keys: bool, lifetime: timedelta
) -> None:
    folder = target = layout.root / status.name
    if new_keys and node is not None and node.kind == "orderer":
        target = layout.next_folder(node.name) / folder.name
    try:
        if folder.name == "tls" or folder.name.startswith("client-tls"):
            authority = DevelopmentAuthority.load(layout.tls_authority(status.msp_id))
            key = None if new_keys else TlsIdentity.load(folder).key
            hosts = () if node is None else tls_names(node)
            authority.issue_tls(
                status.common_name, hosts, now=_now(authority), lifetime=lifetime, key=key
            ).save(target)
            return
        authority = DevelopmentAuthority.load(layout.authority(status.msp_id))
        signer = Signer.load(folder, msp_id=status.msp_id)
        now = _now(authority)
        if new_keys:
            fresh = authority.issue(signer.common_name, Role(signer.role), now=now, lifetime=lifetime)
        else:
            fresh = authority.renew(signer, now=now, lifetime=lifetime)
        fresh.save(target)
    except IdentityError as error:
        raise IdentityProblem(f"{status.name}: {error}") from error


def _now(authority: DevelopmentAuthority) -> datetime:
    return max(datetime.now(UTC) - SKEW, authority.valid_from)


def _restart(layout: Layout, node: Node, progress: Callable[[str], None]) -> None:
    """Restart a process where a keeper keeps it, and wait until it listens again."""
    keeper = Keeper.find(layout.root, node.host)
    if keeper is None:
        return
    running = [node]
    if node.kind == "chaincode":
        running = [chaincode_node(node, package) for package in packages_in_use(layout)]
    kept = {state.name for state in keeper.states()}
    for process in running:
        if process.name not in kept:
            continue
        progress(f"Restarting {process.name}")
        keeper.restart([process.name])
        wait_until_it_listens(process)
