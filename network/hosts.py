"""One topology over several hosts: everything is made in one place, and each host gets its part.

``prepare`` makes the identities of all organisations; ``export_host`` packs what one host needs, to be
brought there by a way that may carry private keys, unpacked by ``restore`` and started by ``up --host``. A
chain lives on one host, with all its organisations' keys, so that host alone creates the channel. Of another
host's organisations it gets certificates only, but for identities that their operators issue for others:

- every host: the auditor of each chain, by which its gateways read the other chains;
- main's host: the relay and the aggregator of each chain, which carry what others have signed;
- with ``client_tls: required``: a TLS certificate made for that host, by which each chain lets it in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from identity import Role
from network.archive import pack
from network.bringup import prepare as prepare_part
from network.errors import TopologyError
from network.files import write_text
from network.identities import make_guest
from network.layout import Layout
from network.network import Network
from network.packages import Package, make_package, packages_in_use
from network.records import working_alone
from network.snapshots import files_below
from network.topology import ChainSpec, Topology
from network.topology_file import dump_topology, load_topology

__all__ = ["export_host", "prepare"]

_FOR_EVERY_HOST = (Role.AUDITOR,)
_FOR_THE_CLOUD = (Role.RELAY, Role.AGGREGATOR)
_PUBLIC = (Role.ANCHOR_SIGNER,)
"""Roles whose certificates chains must know about each other."""


def prepare(root: Path, topology: Topology) -> None:
    """Make the identities and configuration of every host's part in ``root``; nothing is started.

    May be called again: what is there and fits is kept.

    Raises:
        TopologyError: ``root`` has another topology.
        IdentityProblem: an identity that is there cannot be used.
        NetworkError: ``root`` holds a deployment on another ledger; another command is changing the network.
    """
    layout = Layout.of(root)
    layout.check_vacant()
    with working_alone(layout.run):
        if not layout.topology.exists():
            write_text(layout.topology, dump_topology(topology))
        elif load_topology(layout.topology) != topology:
            raise TopologyError(f"{root} has another topology ({layout.topology}); use another folder")
        if not packages_in_use(layout):
            make_package(layout, Package.make(1))
        prepare_part(layout, topology, topology.chains, topology.nodes)


def export_host(root: Path, host: str, target: Path) -> int:
    """Pack what one host needs; it holds the private keys of that host's organisations.

    Args:
        root: a folder that ``prepare`` made.
        host: the host.
        target: the archive; must not exist; is made for its owner alone.

    Returns:
        How many files it holds.

    Raises:
        NetworkError: there is no network in ``root``.
        TopologyError: there is no such host.
        SnapshotError: the target is there already.
        IdentityProblem: another chain cannot let this host in.
    """
    network = Network(root)
    layout, topology = network.layout, network.topology
    if host not in topology.hosts:
        raise TopologyError(f"there is no host {host!r}; there are {', '.join(topology.hosts)}")
    with working_alone(layout.run):
        if topology.client_tls:
            for chain in topology.chains:
                if chain.host != host:
                    make_guest(layout, chain.operator, host)
        wanted = set(_files(layout, topology, host))
        paths = [path for path in files_below(layout.root) if path in wanted]
        return pack(layout.root, paths, target, {"kind": "host", "name": topology.name, "host": host})


def _files(layout: Layout, topology: Topology, host: str) -> Iterator[str]:
    """Paths relative to the folder; those that do not exist are of no account."""
    yield "topology.yaml"
    yield "modulus.json"
    whole = [layout.packages]
    for chain in topology.chains:
        if chain.host == host:
            whole += [layout.organisation(msp_id) for msp_id in chain.msp_ids]
        else:
            whole += _of_others(layout, chain, host, cloud=topology.main.host == host)
    for node in topology.nodes:
        if node.host == host:
            folder = layout.node(node.name)
            # No ledgers: of a network that has run already, `snapshot` keeps them.
            whole += [folder / part for part in ("tls", "identity")]
    for place in whole:
        found = [place] if place.is_file() else place.rglob("*")
        # What its own organisations issued for other hosts goes to those alone.
        for path in (path.relative_to(layout.root) for path in found):
            if not any(path.match(f"client-tls.{other}/*") for other in topology.hosts if other != host):
                yield str(path)


def _of_others(layout: Layout, chain: ChainSpec, host: str, *, cloud: bool) -> Iterator[Path]:
    for msp_id in chain.msp_ids:
        yield layout.msp(msp_id)
        yield layout.tls_roots(msp_id)
        yield from (layout.identity(msp_id, role.value) / "cert.pem" for role in _PUBLIC)
    roles = (*_FOR_EVERY_HOST, *(_FOR_THE_CLOUD if cloud else ()))
    yield from (layout.identity(chain.operator, role.value) for role in roles)
    yield layout.guest_tls_folder(chain.operator, host)
