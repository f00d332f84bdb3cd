"""What every command does around the rules: read files, remember, print one verdict, exit with its code."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from audit.errors import AuditError, Check, Unusable
from audit.report import Outcome, failed, internal, verified
from audit.state import load_state, remember
from audit.verifier import Verified, read_trust, verify_bundle

if TYPE_CHECKING:
    from audit.ports import AuditedSystem, Opener
    from protocol.bundle import Bundle
    from protocol.trust import TrustRoot

__all__ = [
    "check_and_remember",
    "finish",
    "judge",
    "profile_of",
    "read_file",
    "read_hex",
    "root_hint",
    "trust_of",
    "with_system",
    "write_file",
]

_MAX_FILE: Final = 1 << 29  # bytes; nothing larger is read
_HEX_32: Final = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


def finish(work: Callable[[], Outcome], as_json: bool) -> None:
    """Run a command's work, print its one verdict, and leave with its exit code.

    Raises:
        typer.Exit: always.
    """
    try:
        outcome = work()
    except AuditError as error:
        outcome = failed(error)
    except Exception as error:
        # A fault of ours must neither pass for a verdict nor end in a traceback before a stranger's file.
        _log.debug("the verifier failed", exc_info=True)
        outcome = internal(error)
    typer.echo(outcome.json() if as_json else outcome.text())
    raise typer.Exit(int(outcome.exit_code))


def with_system(opener: Opener, deployment: Path | None, work: Callable[[AuditedSystem], Outcome]) -> Outcome:
    """Do a command's work over an opened deployment.

    Raises:
        AuditError: the lower rooms' errors come translated.
    """
    from audit.live import translated

    with translated(), opener(deployment) as system:
        return work(system)


def check_and_remember(bundle: Bundle, trust: TrustRoot, state: Path | None, max_age: int | None) -> Verified:
    """Verify a bundle, and hold it against what the state file remembers.

    Raises:
        AuditError: the bundle, or the memory, refuses.
    """
    if state is not None:
        trust = load_state(state).extend(trust)
    result = verify_bundle(bundle, trust, now=int(time.time()), max_age=max_age)
    if state is not None:
        remember(state, trust, result.statements, result.configurations)
    return result


def judge(
    system: AuditedSystem,
    bundle: Bundle,
    trust: Path | None,
    state: Path | None,
    max_age: int | None,
    *,
    contents: bool,
) -> Outcome:
    """The verdict on a bundle that was made from live chains.

    Raises:
        AuditError: the first refusal.
    """
    from audit.live import check_contents

    result = check_and_remember(bundle, trust_of(system, trust), state, max_age)
    hint = ""
    if contents:
        count = check_contents(system, bundle)
        hint = f"; the bytes of {count} record{'' if count == 1 else 's'} are what was signed"
    return verified(result, hint + root_hint(trust))


def trust_of(system: AuditedSystem, file: Path | None) -> TrustRoot:
    """The auditor's trust root, else the deployment's own.

    Raises:
        Unusable: the file cannot be used.
    """
    return system.trust if file is None else read_trust(read_file(file, "trust root"))


def root_hint(file: Path | None) -> str:
    """What a verdict adds where the auditor brought no trust root."""
    return "" if file is not None else " (under the deployment's own trust root)"


def read_file(path: Path, what: str) -> bytes:
    """A file's bytes.

    Raises:
        Unusable: it is not there, not readable, or larger than anything that is read.
    """
    try:
        with path.open("rb") as file:  # a pipe or a device has no size to ask for
            raw = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise Unusable(Check.USAGE, f"the {what} cannot be read: {error.strerror}", str(path)) from error
    if len(raw) > _MAX_FILE:
        raise Unusable(Check.USAGE, f"the {what} is larger than {_MAX_FILE} bytes", str(path))
    return raw


def write_file(path: Path, raw: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        Unusable: the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=path.name + ".", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)  # a bundle is for strangers
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise Unusable(Check.USAGE, f"cannot be written: {error.strerror}", str(path)) from error


def read_hex(text: str, what: str) -> bytes:
    """32 bytes from 64 lower-case hex digits.

    Raises:
        Unusable: anything else.
    """
    if _HEX_32.fullmatch(text) is None:
        raise Unusable(Check.USAGE, f"the {what} is 64 lower-case hex digits")
    return bytes.fromhex(text)


def profile_of(full: bool) -> str:
    """The bundle's profile."""
    return "full" if full else "compact"
