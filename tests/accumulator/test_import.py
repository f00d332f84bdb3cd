"""Importing the room is light: contracts and `audit bundle` start with it."""

import json
import subprocess
import sys

SCRIPT = """
import json, sys, time
import gmpy2
begun = time.process_time()
import accumulator
spent = time.process_time() - begun
print(json.dumps({"spent": spent, "modules": sorted(sys.modules), "missing":
    [name for name in accumulator.__all__ if not hasattr(accumulator, name)]}))
"""


def measure():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_is_light():
    runs = [measure() for _ in range(3)]
    assert min(run["spent"] for run in runs) < 0.05  # CPU seconds beyond gmpy2
    modules = set(runs[0]["modules"])
    assert not modules & {"accumulator.paper", "accumulator.counting"}
    assert not {name.partition(".")[0] for name in modules} & {
        "cryptography", "google", "fabric_protos", "flask", "grpc", "numpy", "pydantic", "requests", "torch",
    }  # fmt: skip
    assert runs[0]["missing"] == []
