"""The client's folder works under another name, without the rest of this project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ledger.fabric

_SCRIPT = """
import sys
import gatewayclient, gatewayclient.sync
foreign = {"accumulator", "chaincode", "gateway", "identity", "ledger", "protocol", "pydantic", "yaml"}
assert not foreign & set(sys.modules), foreign & set(sys.modules)
assert gatewayclient.__file__.startswith(sys.argv[1])
print(gatewayclient.connect.__name__)
"""


def test_another_project_can_take_it(tmp_path: Path) -> None:
    source = Path(ledger.fabric.__file__).parent
    shutil.copytree(source, tmp_path / "gatewayclient", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "connect"
