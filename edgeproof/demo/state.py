"""Where a demo stands: one small file, written whole, so that the next call goes on."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeproof.errors import DemoError
from protocol.encodings import from_json, parse_json, to_json
from protocol.errors import EncodingError

__all__ = ["DemoParameters", "DemoState", "alone_in"]

_FILE = "demo.json"
_SCHEMA = "edgeproof/demo/v2"


@dataclass(frozen=True)
class DemoParameters:
    """What the caller chose."""

    edges: int
    devices: int
    rounds: int
    ledger: str
    modulus: str = "challenge"
    """``challenge``, ``ceremony`` (one is run first) or the path of a ceremony's modulus file."""
    network: str = ""
    """Folder of the Fabric network; empty on the embedded ledger, whose chains the demo makes itself."""


@dataclass(frozen=True)
class _Saved:
    schema: str
    parameters: DemoParameters
    finished: bool
    seconds_ms: int
    done: tuple[str, ...]
    tag: str
    since: dict[str, int]


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Make the demo's folder and keep other demos out of it; ends with the process, however that ends.

    Raises:
        DemoError: another demo is at work there.
        OSError: it cannot be made, or is no folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    # The folder itself is locked, so that no file of ours is in the way of clearing it.
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DemoError(f"another demo is at work in {out}; wait for it or choose another folder") from error
    else:
        yield
    finally:
        os.close(descriptor)


class DemoState:
    """The demo's folder and its progress.

    Attributes:
        out: the folder.
        parameters: what was chosen when this demo began.
        resumed: whether an earlier call had begun it.
    """

    def __init__(self, out: Path, saved: _Saved, *, resumed: bool) -> None:
        self.out = out
        self._saved = saved
        self.resumed = resumed

    @classmethod
    def open(cls, out: Path, parameters: DemoParameters) -> DemoState:
        """Go on with an unfinished demo of the same parameters; otherwise start anew.

        Raises:
            DemoError: ``out`` holds files that no demo made.
        """
        saved = _load(out)
        if saved is None and out.exists() and any(out.iterdir()):
            raise DemoError(f"{out} holds files that no demo made; choose another one (OUT=, --out)")
        if saved is not None and not saved.finished and saved.parameters == parameters:
            return cls(out, saved, resumed=True)
        if saved is not None:
            # The progress file goes last: until then a killed clean-up is gone on with.
            for entry in out.iterdir():
                if entry.name != _FILE:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        out.mkdir(parents=True, exist_ok=True)
        # A network keeps what earlier demos did: names are told apart by the tag.
        tag = secrets.token_hex(3) if parameters.network else ""
        state = cls(out, _Saved(_SCHEMA, parameters, False, 0, (), tag, {}), resumed=False)
        state._write()
        return state

    @property
    def parameters(self) -> DemoParameters:
        return self._saved.parameters

    @property
    def seconds(self) -> float:
        """Time spent so far, over all calls."""
        return self._saved.seconds_ms / 1000

    def name(self, base: str) -> str:
        """A name that no other demo on the same network uses."""
        return f"{base}-{self._saved.tag}" if self._saved.tag else base

    @property
    def since(self) -> Mapping[str, int]:
        """Chain to the number of its first block that belongs to this demo; empty before ``begin``."""
        return self._saved.since

    def begin(self, heights: Mapping[str, int]) -> None:
        """Note where the chains stand when the demo begins; later calls change nothing."""
        if not self._saved.since:
            self._saved = dataclasses.replace(self._saved, since=dict(heights))
            self._write()

    def is_done(self, phase: str) -> bool:
        """Whether a phase was finished, now or in an earlier call."""
        return phase in self._saved.done

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Run a phase; it counts as done when the block ends without an error."""
        yield
        if name not in self._saved.done:
            self._saved = dataclasses.replace(self._saved, done=(*self._saved.done, name))
            self._write()

    def spend(self, seconds: float) -> None:
        """Add time to the total."""
        self._saved = dataclasses.replace(
            self._saved, seconds_ms=self._saved.seconds_ms + round(seconds * 1000)
        )
        self._write()

    def finish(self) -> None:
        """The next call starts anew."""
        self._saved = dataclasses.replace(self._saved, finished=True)
        self._write()

    def _write(self) -> None:
        temporary = self.out / (_FILE + ".new")
        temporary.write_text(json.dumps(to_json(self._saved), indent=1) + "\n")
        temporary.replace(self.out / _FILE)


def _load(out: Path) -> _Saved | None:
    try:
        raw = (out / _FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        document = parse_json(raw)
        if isinstance(document, dict) and document.get("schema") != _SCHEMA:
            raise DemoError(f"{out / _FILE} is of another version; remove {out} to start anew")
        saved = from_json(_Saved, document)
    except EncodingError as error:
        raise DemoError(f"{out / _FILE} cannot be read ({error}); remove {out} to start anew") from error
    return saved
