"""What every room's tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says what else the machine does.
settings.register_profile("edgeproof", deadline=None)
settings.load_profile("edgeproof")

pytest_plugins = ["fabric_network", "sharing"]
