"""What a test has done on one host (in its namespace): one JSON request a line, one answer a line.

``["submit", chain]``: a transaction of two organisations; ``["heads", chain]``: which anchor of every other
chain it holds; ``["height", chain]``; ``["anchors", chain]``: when main accepted that chain's anchors, on
``time.monotonic``. An error is answered as ``{"error": …}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fabric_kills import anchor_times

from chaincode.api import GetHeads
from edgeproof.deployment import Deployment
from edgeproof.ready import probe
from edgeproof.wiring import Parts
from identity import Role
from ledger.port import evaluate_typed
from network import Network


def answer(root: Path, what: str, chain: str) -> Any:
    if what == "submit":
        probe(Network(root), chain, timeout_s=20)
        return "submitted"
    deployment = Deployment(root)
    with Parts(deployment, "agent") as parts:
        if what == "anchors":
            return anchor_times(parts.readers[deployment.plan.main.chain], chain)
        ledger = parts.ledger(chain, deployment.plan.chain(chain).operator, Role.AUDITOR)
        if what == "height":
            return ledger.information().height
        return {head.chain: head.number for head in evaluate_typed(ledger, GetHeads()).heads}


def main() -> None:
    root = Path(sys.argv[1])
    for line in sys.stdin:
        try:
            found = {"answer": answer(root, *json.loads(line))}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
