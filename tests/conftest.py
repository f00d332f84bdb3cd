"""What every room's tests share."""

from __future__ import annotations

pytest_plugins = ["fabric_network"]
