from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from prepared_network import prepared

from network.layout import Layout
from network.packages import (
    Package,
    connections_folder,
    make_package,
    packages_in_use,
    write_builder,
    write_connection,
)
from network.processes import chaincode_node, expected_nodes
from network.topology_file import load_topology, named_topology


def test_everybody_makes_the_same_package() -> None:
    assert Package.make(1) == Package.make(1)
    # The number that all organisations approve: another one would be another package on running networks.
    assert Package.make(1).package_id == (
        "edgeproof_1:0242248c7299265e8d9e4034c089a595ea7b5e9ce3f810796d258c3498eaddd2"
    )
    assert Package.make(2).package_id != Package.make(1).package_id


def test_it_holds_a_label_and_no_code() -> None:
    with tarfile.open(fileobj=io.BytesIO(Package.make(7).content)) as archive:
        assert archive.getnames() == ["metadata.json", "code.tar.gz"]
        metadata = archive.extractfile("metadata.json")
        code = archive.extractfile("code.tar.gz")
        assert metadata is not None
        assert code is not None
        assert json.load(metadata) == {"label": "edgeproof_7", "path": "", "type": "edgeproof"}
        with tarfile.open(fileobj=io.BytesIO(code.read())) as inner:
            assert inner.getnames() == []


def test_packages_in_use_are_those_written(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    assert packages_in_use(layout) == []
    for number in (10, 9):
        make_package(layout, Package.make(number))
    make_package(layout, Package.make(1, "another"))
    (layout.packages / "edgeproof_x.tar.gz").write_bytes(b"")
    assert packages_in_use(layout) == [Package.make(9), Package.make(10)]


def test_neighbouring_packages_run_side_by_side(tmp_path: Path) -> None:
    layout, topology = Layout.of(tmp_path), load_topology(named_topology("dev"))
    for number in (2, 3):
        make_package(layout, Package.make(number))
    nodes = expected_nodes(layout, topology)
    ports = [port for node in nodes for port in node.ports.values()]
    assert len(set(ports)) == len(ports)
    assert len({node.name for node in nodes}) == len(nodes) == 14


class Builder:
    """Runs the external builder's scripts as a peer does."""

    def __init__(self, layout: Layout, folder: Path, connections: Path) -> None:
        self._layout = layout
        self._environment = {"PATH": os.defpath, "EDGEPROOF_CONNECTIONS": str(connections)}
        self.source, self.metadata, self.build, self.release = (
            folder / name for name in ("source", "metadata", "build", "release")
        )
        for path in (self.source, self.metadata, self.build, self.release):
            path.mkdir(parents=True)

    def run(self, script: str, *arguments: Path) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._layout.builder / "bin" / script), *map(str, arguments)]
        return subprocess.run(command, env=self._environment, capture_output=True)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    layout = Layout.of(tmp_path / "network")
    write_builder(layout)
    connections = tmp_path / "connections"
    connections.mkdir()
    (connections / "edgeproof_1.json").write_text('{"address": "127.0.0.1:1"}')
    return Builder(layout, tmp_path / "work", connections)


def test_the_builder_takes_our_packages_alone(builder: Builder) -> None:
    for kind, taken in (("edgeproof", True), ("ccaas", False), ("golang", False)):
        (builder.metadata / "metadata.json").write_text(f'{{"label":"x","path":"","type":"{kind}"}}')
        done = builder.run("detect", builder.source, builder.metadata)
        assert (done.returncode == 0) is taken


def test_the_builder_releases_what_the_operator_wrote_down(builder: Builder) -> None:
    (builder.metadata / "metadata.json").write_text('{"label":"edgeproof_1","path":"","type":"edgeproof"}')
    assert builder.run("build", builder.source, builder.metadata, builder.build).returncode == 0
    assert builder.run("release", builder.build, builder.release).returncode == 0
    released = builder.release / "chaincode" / "server" / "connection.json"
    assert released.read_text() == '{"address": "127.0.0.1:1"}'
    assert released.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("label", ["edgeproof_2", "../edgeproof_1", ""])
def test_the_builder_fails_where_nothing_is_written_down(builder: Builder, label: str) -> None:
    (builder.build / "metadata.json").write_text(f'{{"label":"{label}","path":"","type":"edgeproof"}}')
    assert builder.run("release", builder.build, builder.release).returncode != 0
    assert not (builder.release / "chaincode" / "server" / "connection.json").exists()


def test_a_connection_says_where_and_who(tmp_path: Path) -> None:
    layout, topology = prepared(tmp_path, "dev")
    peer = topology.select(kind="peer")[0]
    package = Package.make(1)
    path = connections_folder(layout, peer) / "edgeproof_1.json"
    connection = json.loads(path.read_text())
    assert connection["address"] == chaincode_node(topology.chaincode(peer), package).endpoint
    assert connection["tls_required"] is connection["client_auth_required"] is True
    assert path.stat().st_mode & 0o777 == 0o600
    # A peer that has it installed has a copy of its own, which follows.
    copy = layout.released(peer.name, package.package_id) / "chaincode" / "server" / "connection.json"
    copy.parent.mkdir(parents=True)
    copy.write_text("old")
    write_connection(layout, peer, "127.0.0.1:9", package)
    assert json.loads(copy.read_text())["address"] == "127.0.0.1:9"
