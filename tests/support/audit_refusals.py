"""What an audit refuses, by which check."""

from __future__ import annotations

import pytest

from audit.errors import AuditError
from audit.verifier import verify_bundle


def refused(bundle, trust, check, exit_code=1):
    with pytest.raises(AuditError) as refusal:
        verify_bundle(bundle, trust)
    assert (refusal.value.check, refusal.value.exit_code) == (check, exit_code), refusal.value
    return refusal.value
