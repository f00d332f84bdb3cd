"""The room's public names, and what loading them costs."""

import subprocess
import sys

import protocol


def loaded(statement: str) -> set[str]:
    watched = ("gmpy2", "accumulator", "fabric_protos", "grpc", "flask", "torch", "sqlite3", "jsonschema")
    program = f"import sys; {statement}; print(*[name for name in {watched!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_public_name_is_there():
    assert sorted(protocol.__all__) == sorted(set(protocol.__all__))
    for name in protocol.__all__:
        assert getattr(protocol, name) is not None
    assert not hasattr(protocol, "no_such_name")


def test_encodings_load_nothing_else():
    assert loaded("import protocol, protocol.encodings, protocol.merkle, protocol.anchors") == set()


def test_a_device_pays_for_no_big_numbers():
    assert loaded("import protocol.signature_base") <= {"fabric_protos"}


def test_a_verifier_loads_neither_server_nor_database():
    assert loaded("import protocol.bundle, protocol.trust, protocol.rosters, protocol.chainstate") == {
        "accumulator",
        "fabric_protos",
        "gmpy2",
    }
