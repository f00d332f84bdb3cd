"""systemd units and Compose file, judged by systemd and Compose themselves where they are there."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from network.compose import compose_document, write_compose
from network.errors import NetworkError, ProgramMissing, TopologyError
from network.layout import Layout
from network.packages import Package, make_package
from network.rendering import Service, services
from network.topology_file import load_topology, named_topology
from network.units import unit_name, write_units


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs that say a version: rendering starts none of them."""
    folder = tmp_path / "bin dir"
    folder.mkdir()
    for name in ("peer", "orderer", "configtxgen", "osnadmin"):
        (folder / name).write_text("#!/bin/sh\necho ' Version: v3.1.5'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    # Everything that a careless line would expand or split at.
    folder = tmp_path / "net %h $HOME"
    folder.mkdir()
    shutil.copy(named_topology("default"), folder / "topology.yaml")
    make_package(Layout.of(folder), Package.make(1))
    return folder


@pytest.fixture
def rendered(root: Path, programs: Path) -> list[Service]:
    return services(root, fabric_bin=programs)


def test_there_is_one_service_a_process(root: Path, rendered: list[Service]) -> None:
    nodes = load_topology(root / "topology.yaml").nodes
    assert [service.spec.name for service in rendered] == [node.name for node in nodes]


def test_what_cannot_be_rendered_is_said(root: Path, programs: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="holds no network"):
        services(tmp_path, fabric_bin=programs)
    with pytest.raises(TopologyError, match="no host 'mars'"):
        services(root, host="mars", fabric_bin=programs)
    with pytest.raises(ProgramMissing):
        services(root, fabric_bin=tmp_path)


def test_a_process_reads_nobody_elses_keys(root: Path, rendered: list[Service]) -> None:
    layout, topology = Layout.of(root), load_topology(root / "topology.yaml")
    for service in rendered:
        own = layout.node(service.spec.name)
        assert service.readable[0] == own
        for path in service.readable[1:]:
            assert path == layout.builder or path in map(layout.tls_roots, topology.msp_ids)
        assert all(path.is_relative_to(own) for path in service.writable)


def parsed(unit: Path) -> configparser.RawConfigParser:
    class Several(dict):  # type: ignore[type-arg]
        """Keys of a unit may be given several times."""

        def __setitem__(self, key: str, value: Any) -> None:
            if key in self and isinstance(value, list) and isinstance(self[key], list):
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(strict=False, dict_type=Several)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    return parser


def test_units_restart_and_are_hardened(root: Path, rendered: list[Service], tmp_path: Path) -> None:
    files = write_units("default", root, rendered, tmp_path / "units", user="fabric")
    assert files[0].name == "edgeproof-default.target"
    wanted = re.search(r"^Wants=(.*)$", files[0].read_text(), re.MULTILINE)
    assert wanted is not None
    assert wanted[1].split() == [unit_name(service.spec) for service in rendered]
    for file, service in zip(files[1:], rendered, strict=True):
        section = parsed(file)["Service"]
        assert section["User"] == "fabric"
        assert section["Restart"] == "always"
        for key in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
            assert section[key] == "yes", key
        assert section["ProtectSystem"] == "strict"
        assert section["CapabilityBoundingSet"] == ""
        # Doubled, what systemd would take for a specifier or a variable stands for itself.
        assert re.findall(r'"((?:[^"\\]|\\.)*)"', section["ExecStart"]) == [
            word.replace("%", "%%").replace("$", "$$") for word in service.spec.command
        ]


def test_systemd_takes_the_units(root: Path, rendered: list[Service], tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    files = write_units("default", root, rendered, tmp_path / "units", user="root")
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, files)], capture_output=True, text=True, timeout=120
    )
    about_ours = [line for line in done.stderr.splitlines() if "edgeproof" in line]
    assert (done.returncode, about_ours) == (0, [])
    # The check can fail: a setting that does not exist is told.
    files[1].write_text(files[1].read_text().replace("Restart=always", "Restart=sometimes"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(files[1])], capture_output=True, text=True, timeout=120
    )
    assert "restart specifier" in done.stderr


def test_systemd_finds_the_units_well_protected(root: Path, rendered: list[Service], tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    files = write_units("default", root, rendered, tmp_path / "units", user="fabric")
    kinds = {service.kind: file for file, service in zip(files[1:], rendered, strict=True)}
    done = subprocess.run(
        # 100 is the unprotected service, 20 is "OK" on systemd's own scale.
        [analyze, "security", "--offline=true", "--threshold=20", *map(str, kinds.values())],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


_KEYS = {
    "image",
    "container_name",
    "command",
    "network_mode",
    "user",
    "restart",
    "stop_grace_period",
    "read_only",
    "tmpfs",
    "cap_drop",
    "security_opt",
    "ulimits",
    "logging",
    "volumes",
    "environment",
}


def interpolated(value: str) -> str:
    """What Compose makes of a string that may name no variable."""
    assert re.search(r"(?<!\$)(\$\$)*\$(?!\$)", value) is None, value
    return value.replace("$$", "$")


def test_the_compose_file_says_what_the_keeper_would_start(rendered: list[Service], tmp_path: Path) -> None:
    write_compose(rendered, tmp_path / "compose.yaml")
    document = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    assert document == compose_document(rendered)
    assert set(document) == {"services"}
    assert list(document["services"]) == [service.spec.name for service in rendered]
    for service in rendered:
        described = document["services"][service.spec.name]
        assert set(described) <= _KEYS
        command = [interpolated(word) for word in described["command"]]
        program = "python" if service.kind == "chaincode" else service.kind
        assert command == [program, *service.spec.command[1:]]
        environment = {key: interpolated(value) for key, value in described.get("environment", {}).items()}
        assert environment == dict(service.spec.environment)
        mounts = {interpolated(v["source"]): v.get("read_only", False) for v in described["volumes"]}
        assert mounts == {str(p): True for p in service.readable} | {str(p): False for p in service.writable}
        assert all(v["source"] == v["target"] for v in described["volumes"])
        assert (described["cap_drop"], described["read_only"]) == (["ALL"], True)
        assert described["security_opt"] == ["no-new-privileges:true"]


def compose() -> list[str]:
    """Compose as docker's plugin, or as the program of its own that it was."""
    docker = shutil.which("docker")
    if docker and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        return [docker, "compose"]
    alone = shutil.which("docker-compose")
    if alone is None:
        pytest.skip("neither docker compose nor docker-compose is installed")
    return [alone]


def test_compose_takes_the_file(rendered: list[Service], tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    write_compose(rendered, file)
    done = subprocess.run(
        [*compose(), "--file", str(file), "config"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "EDGEPROOF_UID": "1000", "EDGEPROOF_GID": "1000"},
    )
    assert done.returncode == 0, done.stderr
    # What it prints is a Compose file again, so that literal dollars are doubled.
    resolved = yaml.safe_load(done.stdout)["services"]
    for service in rendered:
        command = [interpolated(word) for word in resolved[service.spec.name]["command"]]
        assert command[1:] == list(service.spec.command[1:])
