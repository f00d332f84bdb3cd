"""``core.yaml`` and ``orderer.yaml`` as they are written for each process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prepared_network import prepared

from network.layout import Layout
from network.processes import expected_nodes
from network.topology import Topology

Prepared = tuple[Layout, Topology]


@pytest.fixture(scope="module", params=["dev", "default"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("nodes"), request.param)


def documents(network: Prepared, kind: str) -> list[tuple[str, Any]]:
    layout, topology = network
    name = "core.yaml" if kind == "peer" else "orderer.yaml"
    nodes = [node for node in topology.nodes if node.kind == kind]
    return [(node.name, yaml.safe_load((layout.node(node.name) / name).read_text())) for node in nodes]


def strings(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [found for value in document.values() for found in strings(value)]
    if isinstance(document, list):
        return [found for value in document for found in strings(value)]
    return [document] if isinstance(document, str) else []


@pytest.mark.parametrize("kind", ["peer", "orderer"])
def test_every_file_named_is_there_or_is_data(network: Prepared, kind: str) -> None:
    layout, _ = network
    for name, document in documents(network, kind):
        paths = [Path(text) for text in strings(document) if "/" in text]
        assert len(paths) > 5
        for path in paths:
            assert path.is_absolute()
            assert path.exists() or layout.node(name) / "data" in path.parents or path.name == "data"


@pytest.mark.parametrize("kind", ["peer", "orderer"])
def test_nothing_listens_for_the_world(network: Prepared, kind: str) -> None:
    for _, document in documents(network, kind):
        for text in strings(document):
            assert "0.0.0.0" not in text
            assert re.fullmatch(r"[^/]*:\d+", text) is None or text.startswith("127.0.0.1:")


def test_everybodys_ports_differ(network: Prepared) -> None:
    layout, topology = network
    ports = [port for node in expected_nodes(layout, topology) for port in node.ports.values()]
    assert len(ports) == len(set(ports))


def test_peers_refuse_expired_clients_and_old_proposals(network: Prepared) -> None:
    for _, document in documents(network, "peer"):
        names = [entry["name"] for entry in document["peer"]["handlers"]["authFilters"]]
        assert names == ["DefaultAuth", "ExpirationCheck", "TimeWindowCheck"]


def test_tls_is_on_everywhere(network: Prepared) -> None:
    for _, document in documents(network, "peer"):
        assert document["peer"]["tls"]["enabled"] is True
    for _, document in documents(network, "orderer"):
        assert document["General"]["TLS"]["Enabled"] is True
        assert document["Admin"]["TLS"]["ClientAuthRequired"] is True


def test_the_builder_is_the_only_one_and_docker_is_not_asked(network: Prepared) -> None:
    for _, document in documents(network, "peer"):
        assert document["vm"]["endpoint"] == ""
        (builder,) = document["chaincode"]["externalBuilders"]
        for script in ("detect", "build", "release"):
            assert (Path(builder["path"]) / "bin" / script).stat().st_mode & 0o111


def test_private_keys_are_their_owners_alone(network: Prepared) -> None:
    layout, _ = network
    keys = [path for path in layout.root.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert len(keys) > 50
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_preparing_again_changes_nothing(network: Prepared) -> None:
    from network.bringup import prepare

    layout, topology = network
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in layout.root.rglob("*.*")}
    prepare(layout, topology, topology.chains, topology.nodes)
    after = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in layout.root.rglob("*.*")}
    assert {path for path in before if before[path] != after.get(path) and path.is_file()} == set()
    assert set(before) == set(after)
