"""What ends a measurement: a figure from a run that failed would mean nothing."""

from __future__ import annotations

__all__ = ["MeasurementFailed"]


class MeasurementFailed(Exception):
    """Something that is measured did not do its work."""
