"""Telling an organisation's running chains by what its members are known: authorities, and who is revoked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from identity import DevelopmentAuthority, IdentityError
from identity.files import read_file
from network.config_update import change_msp, would_change
from network.control import Keeper
from network.errors import IdentityProblem, NetworkError, NotReady
from network.files import write_text
from network.identities import write_folders, write_node_folder
from network.layout import Layout
from network.network import Network
from network.own_material import msp_files, read_msp
from network.processes import expected_nodes
from network.records import working_alone
from network.renewal import IdentityStatus, check_new_keys, identities, renew
from network.restarts import restart_outdated
from network.updates import read_configuration, update_channel

__all__ = ["finish_revocations", "publish_msp", "revoke"]

Progress = Callable[[str], None]


def publish_msp(root: Path, msp_id: str, *, progress: Progress = lambda line: None) -> list[str]:
    """Have an organisation's running chains know its members by what its ``msp`` folder holds now:
    authorities, intermediate ones, those for TLS, and revocation lists.

    Its own processes get the same, and restart where that is new to them. May be called again.

    Args:
        root: the network's folder.
        msp_id: the organisation.
        progress: called with one line a step.

    Returns:
        The chains whose configuration had to be changed.

    Raises:
        IdentityProblem: the folder cannot be used.
        CommandFailed: the orderers refuse.
        NotReady: a process does not answer.
        NetworkError: no such organisation or network, or another command is changing it.
    """
    network = Network(root)
    layout, topology = network.layout, network.topology
    chains = [chain for chain in topology.chains if msp_id in chain.msp_ids]
    if not chains:
        raise NetworkError(f"there is no organisation {msp_id!r}; there are {', '.join(topology.msp_ids)}")
    with working_alone(layout.run):
        try:
            write_folders(layout, msp_id)
        except IdentityError as error:
            raise IdentityProblem(f"organisation {msp_id}: {error}") from error
        folder = layout.msp(msp_id)
        read_msp(folder, msp_id)  # what no verifier could use is not published
        change = change_msp(
            msp_id,
            roots=msp_files(folder / "cacerts"),
            intermediates=msp_files(folder / "intermediatecerts"),
            revocation_lists=msp_files(folder / "crls"),
            tls_roots=msp_files(folder / "tlscacerts"),
            tls_intermediates=msp_files(folder / "tlsintermediatecerts"),
        )
        changed = []
        for chain in chains:
            if would_change(read_configuration(network, chain.chain).config.channel_group, change):
                progress(f"{chain.chain}: publishing the MSP of {msp_id}")
                update_channel(network, chain.chain, change)
                changed.append(chain.chain)
        for node in topology.select(msp_id=msp_id):
            if layout.node(node.name).is_dir():
                write_node_folder(layout, node)
        processes = expected_nodes(layout, topology)
        for host in dict.fromkeys(chain.host for chain in chains):
            keeper = Keeper.find(layout.root, host)
            if keeper is not None:
                restart_outdated(keeper, [node for node in processes if node.host == host], progress)
    return changed


def revoke(
    root: Path, names: Sequence[str], *, progress: Progress = lambda line: None
) -> list[IdentityStatus]:
    """Make certificates worthless, for instance after a key was lost: new ones with new keys take their
    places, and their organisations' chains are told what is revoked.

    What was signed while a certificate was in force stays valid. One that was ended half-way is finished by
    ``finish_revocations``, or by another call.

    Args:
        root: the network's folder.
        names: identities as ``identities`` names them, but for TLS, where Fabric heeds no revocation list.
        progress: called with one line a step.

    Returns:
        What took their places.

    Raises:
        IdentityProblem: no such identity, or none that can be revoked here.
        NotReady: a chain that has to be told does not answer; nothing is changed then.
        NetworkError: as ``renew`` and ``publish_msp``.
    """
    network = Network(root)
    layout = network.layout
    known = {status.name: status for status in identities(root)}
    for name in names:
        if name not in known:
            raise IdentityProblem(f"there is no identity {name!r}; `edgeproof network identities` lists them")
        if known[name].issuer != "ours":
            raise IdentityProblem(
                f"{name}: its own authority revokes it; put the list into the organisation's msp/crls, then "
                "`publish-msp`"
            )
        if "tls" in Path(name).name:
            raise IdentityProblem(f"{name}: Fabric heeds no revocation list in TLS; `renew --new-keys` it")
    chosen = [known[name] for name in dict.fromkeys(names)]
    organisations = list(dict.fromkeys(status.msp_id for status in chosen))
    with working_alone(layout.run):
        for status in chosen:
            check_new_keys(network, status)
        for msp_id in organisations:
            _check_chains(network, msp_id)
        for msp_id in organisations:
            begun = dict.fromkeys(
                [*_begun(layout, msp_id), *(one.name for one in chosen if one.msp_id == msp_id)]
            )
            write_text(layout.revoking(msp_id), "".join(f"{name}\n" for name in begun))
        for status in chosen:
            # Nobody heeds the list before it is published, by an administrator that is not on it.
            former = read_file(layout.root / status.name / "cert.pem")
            DevelopmentAuthority.load(layout.authority(status.msp_id)).revoke(former)
    replaced = renew(root, [status.name for status in chosen], new_keys=True, progress=progress)
    for msp_id in organisations:
        publish_msp(root, msp_id, progress=progress)
        layout.revoking(msp_id).unlink(missing_ok=True)
    return replaced


def finish_revocations(
    root: Path, *, host: str | None = None, progress: Progress = lambda line: None
) -> list[IdentityStatus]:
    """Revoke once more what a call of ``revoke`` that was ended half-way had begun with.

    The certificates that stand there now are revoked with the former ones: it is not known how far it came.

    Args:
        root: the network's folder.
        host: only organisations whose chains are on this host.
        progress: called with one line a step.

    Returns:
        What took their places; empty where nothing was to be finished.

    Raises:
        NetworkError: as ``revoke``.
    """
    network = Network(root)
    here = [chain for chain in network.topology.chains if host in (None, chain.host)]
    names = [
        name
        for msp_id in dict.fromkeys(one for chain in here for one in chain.msp_ids)
        for name in _begun(network.layout, msp_id)
    ]
    if not names:
        return []
    progress(f"Finishing the revocation of {', '.join(names)}")
    return revoke(root, names, progress=progress)


def _begun(layout: Layout, msp_id: str) -> list[str]:
    path = layout.revoking(msp_id)
    return path.read_text().splitlines() if path.exists() else []


def _check_chains(network: Network, msp_id: str) -> None:
    for chain in network.topology.chains:
        if msp_id in chain.msp_ids:
            try:
                read_configuration(network, chain.chain)
            except NotReady as error:
                raise NotReady(f"nothing is revoked, for the chains could not be told. {error}") from error
