"""What every room's tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# gRPC's core writes what peers that are killed say into the middle of the suite's output.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# How long an example takes says what else the machine does.
settings.register_profile("edgeproof", deadline=None)
settings.load_profile("edgeproof")

pytest_plugins = ["fabric_network", "sharing"]
