"""The user guide's examples, run as they stand there."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from following import Folder, commands, examples

from network import Network

GUIDE = "docs/guide.md"
FABRIC = "Operators, on real Fabric"


@contextmanager
def following(folder: Folder) -> Iterator[Folder]:
    try:
        yield folder
    finally:
        folder.stop()


def test_the_path_over_the_embedded_ledger(tmp_path: Path) -> None:
    """Operators, device makers, data scientists, auditors, in the guide's order, over one deployment."""
    init, run, token = commands(GUIDE, "Operators")
    with following(Folder(tmp_path)) as folder:
        folder.environment["EDGEPROOF_DEPLOYMENT"] = "build/mine"
        folder.must(init)
        create, train, follow = commands(GUIDE, "Data scientists")
        assert "tides" in folder.must(create)
        for command in (train, follow):
            folder.must(command, "--help")  # its options exist; training has tests of its own
        folder.start(run)

        folder.replace |= {"build/network": "build/mine"}
        enrolment = commands(GUIDE, FABRIC)[3:7]
        assert [command.split()[0] for command in enrolment] == [
            "edgeproof",
            "edgeproof",
            "echo",
            "edgeproof",
        ]
        for command in enrolment:
            recorded = folder.must(command)
        (example,) = examples(GUIDE, "Device makers", "python")
        printed: list[str] = []
        code = folder.here(example).replace("build/sensor.pem", str(tmp_path / "build" / "sensor.pem"))
        exec(compile(code, GUIDE, "exec"), {"print": printed.append})
        record = printed[0]
        assert re.fullmatch("[0-9a-f]{64}", record)
        assert record not in recorded

        if shutil.which("openssl") is not None:
            (script,) = examples(GUIDE, "Device makers", "bash")
            answer = json.loads(folder.must(script))
            assert set(answer) >= {"record", "transaction"}, answer
            assert answer["record"] not in (record, *recorded.split())

        # The token is taken; that nothing published is there yet is what is refused.
        filled = token.replace('"SHA-256"', f'"{"0" * 64}"')
        refused = json.loads(folder.must(filled.replace("curl ", "curl --silent ")))
        assert refused["status"] == 404, refused

        offline, *live, copies = commands(GUIDE, "Auditors")
        folder.replace |= {"RECORD": record}
        shown = [command for command in live if "tides" not in command]
        of_models = [command for command in live if "tides" in command]
        assert len(shown) == 4
        assert len(of_models) == 3
        for command in shown:
            folder.until(command)
        for command in of_models:
            assert folder.run(command).returncode == 3, "no version of the run is there yet"
        folder.must("edgeproof trust export trust.json")
        for _ in range(2):
            assert "verified: record" in folder.must(offline)
        assert (tmp_path / "seen.json").exists()
        folder.stop()
        shutil.copytree(tmp_path / "build" / "mine" / "chains", tmp_path / "copies")
        assert "verified: main: " in folder.must(copies)


@pytest.mark.fabric
def test_the_path_over_real_fabric(tmp_path: Path, fabric_network: Network) -> None:
    """The same over the session's network: its folder stands for build/network, and it is not ended."""
    device = f"sensor-{secrets.token_hex(4)}"
    folder = Folder(tmp_path, {"build/network": str(fabric_network.root), "sensor-7": device})
    doctor, up, run, new, enrol, echo, submit, *audits, copy, chain, down = commands(GUIDE, FABRIC)
    root = ("--root", str(fabric_network.root))
    with following(folder):
        folder.must(doctor, *root)
        assert "processes run" in folder.must(up, *root)
        folder.start(run)
        for command in (new, enrol, echo):
            folder.must(command)
        recorded = folder.must(submit).split()
        assert recorded[0] == "recorded"
        folder.replace["RECORD"] = recorded[1]
        assert len(audits) == 5
        for command in audits:
            told = folder.until(command)
        assert told.startswith(f"verified: record {recorded[1][:16]}")
        folder.must(copy)
        assert "verified: edge-a: " in folder.must(chain)
        checked = folder.must(f"edgeproof check --deployment {fabric_network.root}")
        assert len(re.findall(r"^\S+\.peer\.\S+: \d+ blocks hold$", checked, re.MULTILINE)) == 4
        # One bit of one transaction, in the copy: named.
        (file,) = (tmp_path / "build" / "edge-a-blocks").iterdir()
        raw = bytearray(file.read_bytes())
        raw[raw.index(device.encode())] ^= 1
        file.write_bytes(raw)
        assert folder.run(chain).returncode == 1
    assert down == "edgeproof network down"
    folder.must(down, "--help")
