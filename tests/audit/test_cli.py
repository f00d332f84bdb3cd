"""The commands: one verdict, one line, one exit code; never a traceback."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutations
from world import MAIN, build_world

from audit.errors import AuditError
from audit.report import internal
from audit.state import load_state, save_state
from audit.verifier import read_bundle, read_trust, verify_bundle
from protocol.encodings import canonical_json
from protocol.trust import Checkpoint, serialise_trust

ROOT = Path(__file__).parents[2]


def verify(commands, files, name, *more):
    return commands.run(commands.audit, "bundle", files / name, "--trust", files / "trust.json", *more)


# ---------------------------------------------------------------------- bundle


def test_a_verified_bundle_says_what_it_shows_and_as_of_when(commands, files):
    code, output = verify(commands, files, "record.json")
    assert code == 0
    assert output.startswith("verified: record ")
    assert "device meter-1 (owner edge-a-1)" in output
    assert "as of 20" in output
    assert output.count("\n") == 1
    code, output = verify(commands, files, "model.json", "--json")
    value = json.loads(output)
    assert (code, value["verdict"], value["exit_code"]) == (0, "verified", 0)
    assert value["facts"]["rounds"] == 3
    assert value["facts"]["organisations"][-2:] == ["main-1", "main-2"]


def test_an_altered_byte_is_invalid(commands, files, tmp_path):
    raw = (files / "record.json").read_bytes()
    at = raw.index(b'"witness":"') + 50
    (files / "altered.json").write_bytes(
        raw[:at] + (b"0" if raw[at : at + 1] != b"0" else b"1") + raw[at + 1 :]
    )
    code, output = verify(commands, files, "altered.json")
    assert code == 1
    assert "membership" in output
    code, output = verify(commands, files, "altered.json", "--json")
    value = json.loads(output)
    assert (value["verdict"], value["exit_code"], value["check"]) == ("invalid", 1, "membership")
    assert value["where"].startswith("edge-a element ")


def test_the_help_of_every_command_speaks_of_no_inner_value(commands):
    for app, words in (
        (commands.audit, ("chain",)),
        (commands.audit, ("recompute",)),
        (commands.recompute, ()),
    ):
        code, output = commands.run(app, *words, "--help")
        assert code == 0
        assert "list[" not in output
        assert "-1" not in output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a bundle: the file is empty"),
        (b"[]", "not a bundle"),
        (b"\xff\xfe", "not a bundle"),
        (b"[" * 100_000, "not a bundle"),
        (b'{"a":1e5}', "a document without a schema, not a bundle"),
        (b'{"schema":"edgeproof/topology/v1"}', "a document of schema edgeproof/topology/v1, not a bundle"),
        (b'{"schema":["edgeproof/bundle/v1"]}', "not a bundle"),
        (b"9" * 9999, "not a bundle"),
    ],
)
def test_what_is_no_bundle_is_no_evidence(commands, files, content, says):
    (files / "garbage.json").write_bytes(content)
    code, output = verify(commands, files, "garbage.json")
    assert (code, says in output) == (2, True), output


@pytest.mark.parametrize("content", [b"{", b'{"a":' * 100_000, b'{"schema":"edgeproof/bundle/v1"}'])
def test_a_spoilt_bundle_is_invalid(commands, files, content):
    (files / "garbage.json").write_bytes(content)
    assert verify(commands, files, "garbage.json")[0] == 1
    whole = (files / "record.json").read_bytes()
    (files / "garbage.json").write_bytes(whole[: len(whole) // 2])
    assert verify(commands, files, "garbage.json")[0] == 1


def test_a_bundle_and_a_trust_root_in_each_others_place_are_told(commands, files):
    bundle, trust = files / "record.json", files / "trust.json"
    code, output = commands.run(commands.audit, "bundle", trust, "--trust", trust)
    assert (code, "this is a trust root, not a bundle" in output) == (2, True)
    code, output = commands.run(commands.audit, "bundle", bundle, "--trust", bundle)
    assert (code, "this is a bundle, not a trust root" in output) == (2, True)


def test_missing_or_unusable_files_of_the_caller_are_usage_errors(commands, files, tmp_path):
    code, output = verify(commands, files, "absent.json")
    assert (code, "cannot be read" in output) == (2, True)
    (tmp_path / "trust.json").write_text("{}")
    code, output = commands.run(
        commands.audit, "bundle", files / "record.json", "--trust", tmp_path / "trust.json"
    )
    assert (code, "check trust" in output) == (2, True)
    assert commands.run(commands.audit, "bundle", files / "record.json")[0] == 2
    assert commands.run(commands.audit, "bundle", files, "--trust", files / "trust.json")[0] == 2


def test_another_chains_trust_root_is_unverifiable_and_a_strangers_key_untrusted(commands, files, tmp_path):
    trust = json.loads((files / "trust.json").read_text())
    unknown = dict(trust, chains=[one for one in trust["chains"] if one["chain"] != "edge-a"])
    (tmp_path / "unknown.json").write_text(json.dumps(unknown))
    code, output = commands.run(
        commands.audit, "bundle", files / "record.json", "--trust", tmp_path / "unknown.json"
    )
    assert (code, "does not name this chain" in output) == (3, True)
    for one in trust["chains"]:
        if one["chain"] == MAIN:
            one["roster"]["keys"] = {f"other-{name}": key for name, key in one["roster"]["keys"].items()}
    (tmp_path / "stranger.json").write_text(json.dumps(trust))
    code, output = commands.run(
        commands.audit, "bundle", files / "record.json", "--trust", tmp_path / "stranger.json"
    )
    assert (code, "not on the trust root's roster" in output) == (4, True)


def test_the_trust_root_of_another_deployment_with_the_same_names_trusts_nobody_here(
    commands, files, tmp_path
):
    other = build_world(tmp_path)
    (tmp_path / "other.json").write_bytes(serialise_trust(other.trust()))
    other.close()
    trust = ("--trust", tmp_path / "other.json")
    for name in ("record.json", "model.json"):
        code, output = commands.run(commands.audit, "bundle", files / name, *trust)
        assert (code, "the signer is not known" in output) == (4, True), output
    code, output = commands.run(commands.audit, "anchors", *trust)
    assert (code, "not the genesis block that the trust root names" in output) == (4, True), output


def test_evidence_that_is_too_old_is_unverifiable(commands, files):
    assert verify(commands, files, "record.json", "--max-age", "100000")[0] == 0
    bundle = read_bundle((files / "record.json").read_bytes())
    trust = read_trust((files / "trust.json").read_bytes())
    as_of = verify_bundle(bundle, trust).as_of
    verify_bundle(bundle, trust, now=as_of + 60, max_age=60)
    with pytest.raises(AuditError) as refusal:
        verify_bundle(bundle, trust, now=as_of + 61, max_age=60)
    assert (refusal.value.check.value, refusal.value.exit_code) == ("max-age", 3)


def test_the_state_file_remembers_and_refuses_another_history(commands, files, world, tmp_path):
    from audit.state import AuditState, save_state
    from protocol.anchors import AnchorSignature, SignedStatement

    state = tmp_path / "state.json"
    for name in ("record.json", "model.json", "record.json"):
        assert verify(commands, files, name, "--state", state)[0] == 0
    # The same anchor with another statement, signed by the same keys.
    bundle = read_bundle((files / "record.json").read_bytes())
    forged = replace(bundle.statements[0].statement, tree_root=b"\x07" * 32)
    made = world.chains[forged.chain]
    from identity.roles import Role

    signatures = tuple(
        AnchorSignature(name, made.signer(name, Role.ANCHOR_SIGNER).sign(forged.signing_bytes()))
        for name in sorted(made.organisations)[:2]
    )
    save_state(
        tmp_path / "other.json",
        AuditState().under(world.trust()).admit([SignedStatement(forged, signatures)]),
    )
    code, output = verify(commands, files, "record.json", "--state", tmp_path / "other.json")
    assert code == 1
    assert "check conflict" in output
    assert output.count("signed by edge-a-1: ") == 2
    code, output = verify(commands, files, "record.json", "--state", tmp_path / "other.json", "--json")
    evidence = json.loads(output)["evidence"]
    assert len({one["digest"] for one in evidence}) == 2
    (tmp_path / "broken.json").write_text("{")
    assert verify(commands, files, "record.json", "--state", tmp_path / "broken.json")[0] == 2


def test_a_checkpoint_with_another_digest_is_a_conflict(commands, files, world, tmp_path):
    bundle = read_bundle((files / "record.json").read_bytes())
    right = bundle.statements[0].statement
    for digest, expected in ((right.digest(), 0), (b"\x01" * 32, 1)):
        trust = world.trust({right.chain: Checkpoint(right.number, digest)})
        (tmp_path / "trust.json").write_bytes(serialise_trust(trust))
        code, output = commands.run(
            commands.audit, "bundle", files / "record.json", "--trust", tmp_path / "trust.json"
        )
        assert code == expected
    assert "check checkpoint" in output


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_bring_the_verifier_down(files, trust, data):
    raw = bytearray((files / "record.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 40))]
            case _:
                raw[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    if bytes(raw) == (files / "record.json").read_bytes():
        return
    with pytest.raises(AuditError):
        verify_bundle(read_bundle(bytes(raw)), trust)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_two_changes_at_once_are_refused_too(files, trust, data):
    tree = json.loads((files / "record.json").read_bytes())
    once = list(mutations(tree))
    _, _, first = once[data.draw(st.integers(0, len(once) - 1))]
    twice = list(mutations(first))
    _, _, second = twice[data.draw(st.integers(0, len(twice) - 1))]
    if second == tree:
        return
    with pytest.raises(AuditError):
        verify_bundle(read_bundle(canonical_json(second)), trust)


def test_a_fault_of_the_verifier_is_no_verdict(monkeypatch, commands, files):
    def broken(*_, **__):
        raise KeyError("secret detail")

    monkeypatch.setattr("audit.running.verify_bundle", broken)
    code, output = verify(commands, files, "record.json")
    assert (code, output.startswith("inconclusive: the verifier failed with KeyError")) == (5, True)
    assert "secret" not in output
    assert internal(ValueError("x")).exit_code == 5


_LIGHT = """
import sys
from audit.cli import make_apps
audit, _ = make_apps(lambda folder: None)
try:
    audit(["bundle", {bundle!r}, "--trust", {trust!r}], prog_name="audit")
except SystemExit as end:
    assert end.code == 0, end.code
heavy = ["torch", "numpy", "flask", "grpc", "sqlite3", "ledger", "store", "gateway", "training", "edgeproof"]
print([name for name in heavy if name in sys.modules])
"""


def test_verifying_a_bundle_is_light(files):
    script = _LIGHT.format(bundle=str(files / "record.json"), trust=str(files / "trust.json"))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# ---------------------------------------------------------------------- live


def test_a_record_is_proved_and_its_bytes_compared(commands, world):
    record = world.records["edge-b"][2].hex()
    code, output = commands.run(commands.audit, "record", "edge-b", record, "--full")
    assert (code, "the bytes of 1 record are what was signed" in output) == (0, True)
    code, output = commands.run(commands.audit, "record", "edge-b", "ab" * 32)
    assert (code, "check missing" in output) == (3, True)
    assert commands.run(commands.audit, "record", "edge-z", record)[0] == 3
    code, output = commands.run(commands.audit, "record", "edge-b", "nonsense")
    assert (code, "64 lower-case hex digits" in output) == (2, True)


def test_a_record_that_is_not_anchored_yet_is_pending(commands, world):
    device = world.devices["edge-b", "meter-1"]
    (record,) = world.submit_contents(device, [b"late"])
    code, output = commands.run(commands.audit, "record", "edge-b", record.hex())
    assert (code, "check pending" in output) == (3, True)
    world.records["edge-b"].remove(record)


def test_models_and_rounds_are_proved(commands):
    code, output = commands.run(commands.audit, "model", "digits", 2, "--contents", "--json")
    value = json.loads(output)
    assert (code, value["kind"], value["facts"]["steps"]) == (0, "model", 4)
    code, output = commands.run(commands.audit, "round", "digits", 3)
    assert (code, output.startswith("verified: round 3 of run digits: 2 steps")) == (0, True)
    assert commands.run(commands.audit, "model", "digits", 9)[0] == 3
    assert commands.run(commands.audit, "model", "other", 1)[0] == 3
    assert commands.run(commands.audit, "model", "digits", 0)[0] == 2


def test_anchors_are_compared(commands, tmp_path):
    code, output = commands.run(commands.audit, "anchors", "--json", "--state", tmp_path / "state.json")
    value = json.loads(output)
    assert code == 0
    assert set(value["heads"]) == {"edge-a", "edge-b", "main"}
    assert (
        value["heads"]["main"]["edge-a"] == value["heads"]["main"]["edge-b"] == value["heads"]["main"]["main"]
    )
    code, output = commands.run(commands.audit, "anchors", "--state", tmp_path / "state.json")
    assert (code, "under the deployment's own trust root" in output) == (0, True)


def test_anchors_of_another_history_are_refused_however_long_it_is(commands, tmp_path):
    """Each of them is held against what was seen, and not the newest alone."""
    path = tmp_path / "state.json"
    _, output = commands.run(commands.audit, "anchors", "--json", "--state", path)
    heads = {chain: max(held.values()) for chain, held in json.loads(output)["heads"].items()}
    state = load_state(path)
    seen = {known.chain: [one.number for one in known.seen] for known in state.chains}
    assert seen == {chain: list(range(1, head + 1)) for chain, head in heads.items()}
    first, *_ = state.chains
    assert len(first.seen) > 1
    older = (replace(first.seen[0], statement=b"\x01" * 32), *first.seen[1:])
    save_state(path, replace(state, chains=(replace(first, seen=older), *state.chains[1:])))
    code, output = commands.run(commands.audit, "anchors", "--state", path)
    assert (code, f"{first.chain} anchor 1" in output, "conflict" in output) == (1, True, True), output


def test_exported_bundles_verify_with_the_file_alone(commands, files, tmp_path, world):
    record = world.records["edge-a"][0].hex()
    for arguments in (
        ("record", "edge-a", record, tmp_path / "a" / "r.json", "--holder", "edge-b"),
        ("model", "digits", 1, tmp_path / "m.json"),
        ("round", "digits", 2, tmp_path / "o.json", "--full"),
    ):
        code, output = commands.run(commands.bundle, "export", *arguments)
        assert (code, output.startswith(f"wrote {arguments[3]}, ")) == (0, True), output
        code, output = commands.run(commands.audit, "bundle", arguments[3], "--trust", files / "trust.json")
        assert code == 0, output
    assert commands.run(commands.bundle, "export", "model", "other", 1, tmp_path / "x.json")[0] == 3
    model = ("model", "digits", 1)
    for holder, why in (("edge-a", "the evidence is its own"), ("main", "no edge"), ("edge-z", "no edge")):
        for command in ((commands.audit, *model), (commands.bundle, "export", *model, tmp_path / "x.json")):
            code, output = commands.run(*command, "--holder", holder)
            assert (code, why in output, "[check usage]" in output) == (2, True, True), output
    assert not (tmp_path / "x.json").exists()
