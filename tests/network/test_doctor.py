from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fabric_network import on_free_ports

from identity import DevelopmentAuthority, Role
from network import Topology
from network.doctor import Finding, doctor
from network.records import ProcessId, Record, Records
from network.topology_file import load_topology, named_topology


@pytest.fixture
def topology() -> Topology:
    return on_free_ports(load_topology(named_topology("dev")))


def of(findings: list[Finding], subject: str) -> Finding:
    return next(finding for finding in findings if subject in finding.subject)


def program(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{name}:\n Version: {version}\n Go version: go1.26'\n")
    path.chmod(0o755)


def test_missing_and_old_programs_are_problems_with_a_remedy(tmp_path: Path, topology: Topology) -> None:
    folder = tmp_path / "bin"
    program(folder, "peer", "v2.5.4")
    program(folder, "orderer", "v3.1.1")
    found = doctor(tmp_path / "net", topology, fabric_bin=folder)
    old, new, missing = of(found, "peer"), of(found, "orderer"), of(found, "configtxgen")
    assert (old.level, new.level, missing.level) == ("problem", "good", "problem")
    assert "version 2.5.4; 3.1 or newer is needed" in old.text
    assert str(folder / "orderer") in new.text
    assert "3.1.1" in new.text
    assert "not in" in missing.text
    assert all("FABRIC_BIN" in finding.remedy for finding in (old, missing))


def test_a_taken_port_is_named_with_who_has_it(tmp_path: Path, topology: Topology) -> None:
    node = topology.nodes[0]
    with socket.create_server(("127.0.0.1", node.ports["grpc"])):
        finding = of(doctor(tmp_path, topology), f"port 127.0.0.1:{node.ports['grpc']}")
    assert finding.level == "problem"
    assert node.name in finding.text
    assert f"(process {os.getpid()})" in finding.text
    assert not [found for found in doctor(tmp_path, topology) if found.subject.startswith("port ")]


def test_a_deployment_on_another_ledger_is_a_problem(tmp_path: Path, topology: Topology) -> None:
    (tmp_path / "deployment.json").touch()
    finding = of(doctor(tmp_path, topology), "folder")
    assert (finding.level, "embedded ledger" in finding.text) == ("problem", True)


def test_another_network_that_has_the_ports_is_told_once(tmp_path: Path, topology: Topology) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "topology.yaml").touch()
    ports = sorted(port for node in topology.nodes for use, port in node.ports.items() if use != "next")
    listen = (
        "import socket, sys; kept = [socket.create_server(('127.0.0.1', int(p))) for p in sys.argv[2:]]; "
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", listen, f"{other}/nodes/peer/tls", *map(str, ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as theirs:
        assert theirs.stdout is not None
        theirs.stdout.readline()
        found = doctor(tmp_path / "net", topology)
        theirs.communicate()
    (finding,) = [one for one in found if "port" in one.subject]
    assert finding.level == "problem"
    said = f"{ports[0]} to {ports[-1]} ({len(ports)} of them) are taken by the network in {other}"
    assert finding.text == said
    assert f"`edgeproof network down --root {other}`" in finding.remedy


def test_the_networks_own_processes_may_have_their_ports(tmp_path: Path, topology: Topology) -> None:
    node = topology.nodes[0]
    own = ProcessId.of(os.getpid())
    assert own is not None
    Records(tmp_path / "run").write(Record(node.name, "node", "local", own))
    with socket.create_server(("127.0.0.1", node.ports["grpc"])):
        found = doctor(tmp_path, topology)
    assert not [f for f in found if f.subject.startswith("port ")]
    assert f"{len(node.ports)} in use by this network" in of(found, "ports").text
    # It runs, and no keeper looks after it.
    assert any("run without a keeper" in f.text and f.level == "problem" for f in found)


def test_records_of_another_boot_are_told(tmp_path: Path, topology: Topology) -> None:
    Records(tmp_path / "run").write(Record("a", "node", "local", ProcessId(1, 1, "another boot")))
    finding = of(doctor(tmp_path, topology), "records")
    assert finding.level == "note"
    assert "`edgeproof network up` starts them again" in finding.remedy


def test_expired_and_expiring_identities(tmp_path: Path, topology: Topology) -> None:
    now = datetime.now(UTC)
    folder = tmp_path / "identities" / "someone"
    authority = DevelopmentAuthority.create("someone", folder / "authority", now=now - timedelta(days=800))
    for name, days in (("gone", 1), ("soon", 810), ("fine", 3000)):
        issued = authority.issue(
            name, Role.CLIENT, now=now - timedelta(days=799), lifetime=timedelta(days=days)
        )
        issued.save(folder / name)
    found = doctor(tmp_path, topology)
    levels = {f.subject: f.level for f in found if f.subject.startswith("identities/")}
    assert levels == {
        "identities/someone/gone/cert.pem": "problem",
        "identities/someone/soon/cert.pem": "note",
    }
    shutil.rmtree(folder / "gone")
    (folder / "fine" / "key.pem").chmod(0o644)
    finding = of(doctor(tmp_path, topology), "identities/someone/fine/key.pem")
    assert (finding.level, "others can read" in finding.text) == ("problem", True)


def test_little_room_is_told(tmp_path: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((2**29, "problem"), (2 * 2**30, "note"), (2**34, "good")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert of(doctor(tmp_path / "not" / "there", topology), "disk").level == level


def test_another_hosts_ports_do_not_matter_here(tmp_path: Path, topology: Topology) -> None:
    elsewhere = dataclasses.replace(
        topology,
        hosts={"cloud": "127.0.0.1", "far": "192.0.2.1"},
        main=dataclasses.replace(topology.main, host="cloud"),
        edges=tuple(dataclasses.replace(edge, host="far") for edge in topology.edges),
    )
    assert not [f for f in doctor(tmp_path, elsewhere, host="cloud") if "cannot be listened on" in f.text]
    finding = of(doctor(tmp_path, elsewhere, host="far"), "192.0.2.1:")
    assert finding.level == "problem"
    assert "cannot be listened on" in finding.text
    assert "--host" in finding.remedy
