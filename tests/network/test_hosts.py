from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from fabric_kills import Pause, keep_pauses, longest_pause
from namespaces import SUPPORT, Agent, Hosts, hosts

from edgeproof.deployment import Deployment, Plan
from identity import DevelopmentAuthority
from network import Network, down, renew
from network.errors import NetworkError, TopologyError
from network.hosts import export_host, prepare
from network.layout import Layout
from network.snapshots import restore
from network.status import status
from network.topology_file import load_topology, named_topology

_ADDRESSES = {"cloud": "10.213.0.1", "edge-a": "10.213.0.2", "edge-b": "10.213.0.3"}
_GATEWAY = 8440
_CALM_S = 8.0
_EDGE = """\
  - chain: {edge}
    host: {edge}
    organisations: [{edge}-operator, {edge}-owner]
    ordering: {{type: raft, orderers: {{{edge}-orderer: 1}}}}
"""
_SPREAD = f"""\
schema: edgeproof/topology/v1
name: spread
hosts: {json.dumps(_ADDRESSES)}
main:
  host: cloud
  organisations: [cloud-operator, cloud-auditor]
  ordering: {{type: raft, orderers: {{main-orderer: 1}}}}
edges:
{_EDGE.format(edge="edge-a")}{_EDGE.format(edge="edge-b")}"""


def test_a_deployment_on_another_ledger_is_not_taken_over(tmp_path: Path) -> None:
    Deployment.prepare(tmp_path, Plan.standard(1)).finish()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NetworkError, match="already holds a deployment on the embedded ledger"):
        prepare(tmp_path, load_topology(named_topology("dev")))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all identities, and beside it each host's part, restored."""
    folder = tmp_path_factory.mktemp("spread")
    (folder / "topology.yaml").write_text(_SPREAD)
    prepare(folder / "all", load_topology(folder / "topology.yaml"))
    for host in _ADDRESSES:
        export_host(folder / "all", host, folder / f"{host}.tar.gz")
        about = restore(folder / f"{host}.tar.gz", folder / host)
        assert (about["kind"], about["host"]) == ("host", host)
    return folder


def keys(root: Path) -> set[str]:
    """Folders of private keys; the copies that Fabric's own folders hold are made anew by ``up``."""
    found = {str(path.relative_to(root).parent) for path in root.rglob("key.pem")}
    return {folder for folder in found if not folder.endswith("/keystore")}


def test_a_host_gets_its_own_keys_and_what_others_issued_for_it(exported: Path) -> None:
    everything = keys(exported / "all")
    for host in _ADDRESSES:
        foreign = {
            key
            for key in keys(exported / host)
            if not key.startswith(
                (f"identities/{host}-", f"nodes/{host}.", "identities/main-", "nodes/main.")
            )
        }
        others = [name for name in _ADDRESSES if name != host]
        shared = ("auditor", *(("relay", "aggregator") if host == "cloud" else ()))
        assert foreign == {f"identities/{other}-operator/{role}" for other in others for role in shared}
        assert keys(exported / host) <= everything
        own = [key for key in keys(exported / host) if key not in foreign]
        # None of another host's orderers, peers or authorities.
        assert not any("main" in key for key in own) or host == "cloud"
    assert keys(exported / "cloud") | keys(exported / "edge-a") | keys(exported / "edge-b") == everything


def test_where_clients_need_certificates_each_host_has_its_own(tmp_path: Path) -> None:
    """Issued for it by the other chains, and never the other organisation's."""
    (tmp_path / "topology.yaml").write_text(_SPREAD + "client_tls: required\n")
    prepare(tmp_path / "all", load_topology(tmp_path / "topology.yaml"))
    everything = Layout.of(tmp_path / "all")
    shown = set()
    for host in _ADDRESSES:
        export_host(tmp_path / "all", host, tmp_path / f"{host}.tar.gz")
        restore(tmp_path / f"{host}.tar.gz", tmp_path / host)
        network = Network(tmp_path / host)
        for chain in network.topology.chains:
            operator = chain.operator
            client = network.client_tls(operator)
            assert client is not None
            shown.add(client.fingerprint)
            certificate = x509.load_pem_x509_certificate(client.certificate_pem)
            root = DevelopmentAuthority.load(everything.tls_authority(operator)).root_certificate_pem
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(root))
            if chain.host != host:
                assert not network.layout.client_tls_folder(operator).exists()
                assert client.fingerprint != everything.client_tls(operator).fingerprint
        found = {Path(key).name for key in keys(tmp_path / host) if "client-tls." in key}
        assert found == {f"client-tls.{host}"}
    assert len(shown) == len(_ADDRESSES) ** 2
    # They are in the list of what expires, and can be renewed where the authority is.
    name = "identities/edge-a-operator/client-tls.cloud"
    (renewed,) = renew(tmp_path / "all", [name], lifetime=timedelta(days=400))
    assert (renewed.name, renewed.days_left()) == (name, 399)


def test_a_deployment_makes_owner_keys_for_its_own_organisations_alone(exported: Path) -> None:
    for host in _ADDRESSES:
        topology = load_topology(exported / host / "topology.yaml")
        Deployment.adopt(exported / host, Plan.of_network(topology))
        made = {path.parent.name for path in (exported / host).glob("identities/*/owner.pem")}
        (own,) = [chain for chain in topology.chains if chain.host == host]
        assert made == set(own.organisations)


def test_a_host_that_is_not_there_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="no host 'mars'; there are cloud, edge-a, edge-b"):
        export_host(exported / "all", "mars", tmp_path / "mars")


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 120.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"{what}: not after {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - started


class Fleet:
    """Every host up, with its anchor signers; the relay in the cloud."""

    def __init__(self, made: Hosts, folder: Path) -> None:
        self.hosts = made
        self.folder = folder
        self.agents = {host: Agent(made, host, folder / host) for host in _ADDRESSES}
        self._services: list[subprocess.Popen[bytes]] = []

    def edgeproof(self, host: str, *words: str) -> list[str]:
        return self.hosts.inside(host, [sys.executable, "-m", "edgeproof", *words])

    def up(self, host: str) -> None:
        done = subprocess.run(
            self.edgeproof(host, "network", "up", "--root", str(self.folder / host), "--host", host),
            capture_output=True,
            text=True,
            timeout=400,
            env=os.environ,
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self.up, _ADDRESSES))
        for host in _ADDRESSES:
            chain = "main" if host == "cloud" else host
            for organisation in load_topology(self.folder / "topology.yaml").chain(chain).organisations:
                self._serve(host, "signer", "--chain", chain, "--organisation", organisation)
        self._serve("cloud", "relay")
        self._serve("edge-a", "gateway", "--edge", "edge-a", "--port", str(_GATEWAY))

    def _serve(self, host: str, *words: str) -> None:
        log = (self.folder / f"{host}-{words[0]}-{len(self._services)}.log").open("wb")
        command = self.edgeproof(host, "serve", *words, "--deployment", str(self.folder / host))
        self._services.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        log.close()

    def stop(self) -> None:
        for service in self._services:
            service.terminate()
        for service in self._services:
            service.wait(30)
        for agent in self.agents.values():
            agent.close()
        for host in _ADDRESSES:
            down(self.folder / host)

    @contextlib.contextmanager
    def load(self) -> Iterator[Callable[[], dict[str, Any]]]:
        """Devices at edge-a's gateway, sending; what is given ends and checks them."""
        command = [sys.executable, str(SUPPORT / "host_load.py"), str(self.folder / "edge-a"), "edge-a"]
        command += [f"http://127.0.0.1:{_GATEWAY}", str(self.folder / "load")]
        process = subprocess.Popen(
            self.hosts.inside("edge-a", command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def finish() -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            found: dict[str, Any] = json.loads(process.stdout.readline())
            assert "error" not in found, found
            return found

        try:
            assert json.loads(process.stdout.readline()) == "sending"
            yield finish
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def submit(self, host: str) -> None:
        assert self.agents[host].ask("submit", "main" if host == "cloud" else host) == "submitted"

    def main_holds(self, edge: str) -> int:
        """Number of the edge's newest anchor on main."""
        found = self.agents["cloud"].ask("heads", "main").get(edge, 0)
        assert isinstance(found, int)
        return found

    def edge_holds(self, edge: str) -> int:
        """Number of main's newest anchor on the edge."""
        found = self.agents[edge].ask("heads", edge).get("main", 0)
        assert isinstance(found, int)
        return found


@pytest.fixture(scope="module")
def fleet(exported: Path) -> Iterator[Fleet]:
    with hosts(_ADDRESSES) as made:
        running = Fleet(made, exported)
        try:
            running.start()
            yield running
        finally:
            running.stop()


def interlocked(fleet: Fleet, edge: str, seconds: float = 120.0) -> float:
    """Submit on an edge; how long until main holds a newer anchor of it."""
    before = fleet.main_holds(edge)
    fleet.submit(edge)
    return wait_for(f"an anchor of {edge} on main", lambda: fleet.main_holds(edge) > before, seconds)


@pytest.mark.fabric
@pytest.mark.faults
@pytest.mark.slow
class TestHosts:
    """Real hosts, as far as a kernel makes them: a namespace each."""

    def test_each_host_runs_its_part(self, fleet: Fleet) -> None:
        for host in _ADDRESSES:
            found = status(fleet.folder / host)
            assert {process.host for process in found} == {host}
            assert all(process.healthy for process in found)
            addresses = {process.address.partition(":")[0] for process in found if process.address}
            assert addresses == {_ADDRESSES[host]}
        for edge in ("edge-a", "edge-b"):
            interlocked(fleet, edge)
            wait_for(f"an anchor of main on {edge}", lambda edge=edge: fleet.edge_holds(edge) > 0)

    def test_a_cut_edge_goes_on_alone_the_others_too_and_it_catches_up(self, fleet: Fleet) -> None:
        before = fleet.main_holds("edge-a")
        fleet.hosts.link("edge-a", up=False)
        started = time.monotonic()
        fleet.submit("edge-a")
        fleet.submit("cloud")
        # The relay's other chains are not held up.
        others = interlocked(fleet, "edge-b")
        fleet.submit("edge-a")
        time.sleep(max(0.0, 5.0 - (time.monotonic() - started)))
        assert fleet.main_holds("edge-a") == before
        held = fleet.edge_holds("edge-a")
        fleet.hosts.link("edge-a")
        caught_up = wait_for("edge-a's anchor on main", lambda: fleet.main_holds("edge-a") > before)
        wait_for("main's anchor on edge-a", lambda: fleet.edge_holds("edge-a") > held)
        print(f"edge-b's anchor meanwhile {others:.1f} s; edge-a's after healing {caught_up:.1f} s")

    def test_five_seconds_of_partition_under_load_lose_and_double_nothing(
        self, fleet: Fleet, pytestconfig: pytest.Config
    ) -> None:
        """Readings flow in at edge-a; its link to the cloud and to edge-b is cut for five seconds."""
        for edge in ("edge-a", "edge-b"):
            interlocked(fleet, edge)
            wait_for(f"an anchor of main on {edge}", lambda edge=edge: fleet.edge_holds(edge) > 0)
        with fleet.load() as finish:
            time.sleep(_CALM_S)
            cut = time.monotonic()
            fleet.hosts.link("edge-a", up=False)
            time.sleep(max(0.0, cut + 5.0 - time.monotonic()))
            fleet.hosts.link("edge-a")
            healed = time.monotonic()
            held = fleet.main_holds("edge-a")
            wait_for("edge-a's next anchor on main", lambda: fleet.main_holds("edge-a") > held, 60.0)
            time.sleep(_CALM_S)
            end = time.monotonic()
            found = finish()
        readings = found["times"]
        anchors = fleet.agents["cloud"].ask("anchors", "edge-a")
        pauses = [
            Pause(
                "partition of five seconds",
                "link of edge-a",
                waited,
                longest_pause(times, cut, end),
                longest_pause([at for at in times if at <= cut], cut - _CALM_S, cut),
            )
            for waited, times in (("readings on edge-a", readings), ("edge-a's anchors on main", anchors))
        ]
        keep_pauses(
            pytestconfig.rootpath, "partition", {"acknowledged": len(readings), **found["found"]}, pauses
        )
        print(*pauses, sep="\n")
        assert found["found"]["records"] == len(readings) > 50
        # An edge takes readings whether the cloud is there or not; anchors wait for the link, and no longer.
        assert len([at for at in readings if cut + 0.5 < at < healed]) > 5
        assert not [at for at in anchors if cut + 0.5 < at < healed]
        assert len([at for at in anchors if at > healed]) > 1
        assert pauses[0].pause_s < max(5.0, 2 * pauses[0].usual_s)
        assert pauses[1].pause_s < 5.0 + 30.0

    def test_delay_and_loss_slow_the_anchors_and_lose_none(self, fleet: Fleet) -> None:
        # 120 ms there and back, one frame of fifty lost each way.
        fleet.hosts.link("edge-a", delay_s=0.06, loss=0.02)
        try:
            taken = [interlocked(fleet, "edge-a") for _ in range(3)]
        finally:
            fleet.hosts.link("edge-a")
        print(f"anchors over 120 ms and 2 % loss: {', '.join(f'{seconds:.1f} s' for seconds in taken)}")
