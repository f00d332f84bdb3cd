"""Devices of one edge, on that edge's host (in its namespace), and afterwards the check of all that they did.

``python host_load.py ROOT EDGE URL WORK``. It prints one JSON value when the devices are enrolled and send,
and an object when standard input was closed, every reading was acknowledged, every anchor is held, and
everything was checked: ``{"times": …, "found": …}``. Instants of acknowledgements are on ``time.monotonic``,
which all processes of a machine share.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
from pathlib import Path

from fleet_checks import check_everything
from fleet_load import Load
from fleet_processes import wait_until
from fleet_progress import Progress

from edgeproof.deployment import Deployment
from edgeproof.wiring import Parts

_PAUSE_S = 0.1
_SETTLE_S = 120.0


def main() -> None:
    root, edge, url, work = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    deployment = Deployment(root)
    load = Load(deployment, {edge: url}, devices=2, seed=7)
    wait_until(lambda: load.answers(edge), 60.0, "the gateway does not answer")
    load.enrol()
    load.begin(_PAUSE_S)
    print(json.dumps("sending"), flush=True)
    sys.stdin.read()
    load.finish(_SETTLE_S)
    with Parts(deployment, "load", caches=work / "progress") as parts:
        progress = Progress(parts)

        def missing() -> str:
            before = _heights(parts)
            # The chains are looked at one after the other: it counts if none has moved meanwhile.
            return progress.unanchored() or ("" if _heights(parts) == before else "the chains move")

        wait_until(lambda: not missing(), _SETTLE_S, missing, pause_s=0.3)
    found = check_everything(deployment, load.acknowledged, work / "checks")
    times = [one.at for one in load.acknowledged]
    print(json.dumps({"times": times, "found": dataclasses.asdict(found)}), flush=True)


def _heights(parts: Parts) -> list[int]:
    return [ledger.information().height for ledger in parts.readers.values()]


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
