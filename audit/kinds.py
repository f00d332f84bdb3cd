"""Which of our documents a file is: whoever gives the wrong one shall hear that, and no verdict."""

from __future__ import annotations

import json
from typing import Final

from audit.errors import Check, Unusable
from audit.state import SCHEMA as STATE_SCHEMA
from protocol.absence import ABSENCE_SCHEMA
from protocol.bundle import BUNDLE_SCHEMA
from protocol.trust import TRUST_SCHEMA

__all__ = ["ABSENCE", "BUNDLE", "TRUST", "check_kind"]

ABSENCE: Final = "an absence proof"
BUNDLE: Final = "a bundle"
TRUST: Final = "a trust root"
_KINDS: Final = {
    ABSENCE_SCHEMA: ABSENCE,
    BUNDLE_SCHEMA: BUNDLE,
    TRUST_SCHEMA: TRUST,
    STATE_SCHEMA: "an audit state",
}


def check_kind(raw: bytes, wanted: str) -> None:
    """Refuse a file that could not be read as ``wanted`` if it is none at all.

    What begins as our documents do and is broken further on may be a spoilt one: then nothing is said here.

    Args:
        raw: the file.
        wanted: ``ABSENCE``, ``BUNDLE`` or ``TRUST``.

    Raises:
        Unusable: it is another document, or none.
    """
    check = Check.TRUST if wanted == TRUST else Check.USAGE
    if raw.lstrip()[:1] != b"{":
        raise Unusable(check, f"this is not {wanted}" + ("" if raw else ": the file is empty"))
    try:
        schema = json.loads(raw).get("schema")
    except (ValueError, RecursionError):
        return
    found = _KINDS.get(schema) if isinstance(schema, str) else "a document without a schema"
    if found != wanted:
        raise Unusable(check, f"this is {found or f'a document of schema {schema}'}, not {wanted}")
