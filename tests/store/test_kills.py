"""SIGKILL at random times: what was acknowledged is there, whole, and nothing torn is ever seen."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from store import FileStore

_WRITER = """
import sys
from pathlib import Path
from store import FileStore
store = FileStore(Path(sys.argv[1]))
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    items = [b"%d item %d " % (number, position) * 2000 for position in range(8)]
    for address in store.put_pack(items):
        sys.stdout.write(address.hex() + "\\n")
    sys.stdout.flush()
    number += 1
"""


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    root = tmp_path / "store"
    FileStore(root)
    acknowledged: set[str] = set()
    attempt = 0
    while attempt < 8 or len(acknowledged) <= 100:  # a busy machine may need more attempts to write anything
        attempt += 1
        assert attempt < 60
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, str(root), str(1000 * (2 * attempt + worker))],
                stdout=subprocess.PIPE,
                text=True,
            )
            for worker in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.12))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            output, _ = writer.communicate()
            lines = output.split("\n")
            acknowledged.update(line for line in lines[:-1] if len(line) == 64)
    store = FileStore(root)
    for address in acknowledged:
        assert sha256(store.get(bytes.fromhex(address))).hexdigest() == address
    report = store.verify()
    assert report.damaged == ()
    assert report.objects >= len(acknowledged)
    store.close()
    for path in (root / "lookup").iterdir():
        path.unlink()
    rebuilt = FileStore(root)
    assert all(rebuilt.has(bytes.fromhex(address)) for address in acknowledged)
