"""What stands in a network's way on this host, and what to do about it.

Nothing here changes anything. Each check is a function of its own that yields findings; what cannot be told
on this machine is left out rather than guessed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from cryptography import x509

from network.errors import NetworkError
from network.layout import Layout
from network.listeners import check_ports, port_problems
from network.processes import expected_nodes
from network.programs import INSTALL, NEEDED, OLDEST, find_program, program_version, remedy
from network.records import Records
from network.renewal import SOON
from network.topology import Topology

__all__ = ["Finding", "Level", "doctor"]

Level = Literal["good", "note", "problem"]

_GIB: Final = 1024**3
_MIB: Final = 1024**2
# Resident memory of a busy process (docs/network.md has what was measured).
_BUSY: Final = {"orderer": 100 * _MIB, "peer": 250 * _MIB, "chaincode": 60 * _MIB}
_OPTIONAL: Final = {"docker": "the Compose file"}
_FILES: Final = 4096
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    """``problem``: `up` will fail, or the network will. ``note``: worth knowing."""
    subject: str
    text: str
    remedy: str = ""
    """What to do; empty where nothing is to be done."""


def doctor(
    root: Path, topology: Topology, *, fabric_bin: Path | None = None, host: str | None = None
) -> list[Finding]:
    """Look at everything that bringing ``topology`` up in ``root`` needs.

    Args:
        root: the network's folder; may not exist yet.
        topology: what shall be brought up.
        fabric_bin: where Fabric's programs are; None for PATH.
        host: only this host's part.
    """
    layout = Layout.of(root)
    nodes = [node for node in topology.nodes if host in (None, node.host)]
    return [
        *_folder(layout),
        *_programs(fabric_bin),
        *_packages(),
        *_ports(layout, topology, host),
        *_disk(layout.root),
        *_memory(layout, {kind: sum(node.kind == kind for node in nodes) for kind in _BUSY}),
        *_files(),
        *_clock(several=len(topology.hosts) > 1),
        *_identities(layout),
        *_revocations(layout, topology),
        *_records(layout),
    ]


def _folder(layout: Layout) -> Iterator[Finding]:
    try:
        layout.check_vacant()
    except NetworkError as error:
        yield Finding("problem", "folder", str(error))


def _programs(fabric_bin: Path | None) -> Iterator[Finding]:
    where = f"in {fabric_bin} (FABRIC_BIN)" if fabric_bin else "on PATH"
    for name in NEEDED:
        path = find_program(name, fabric_bin)
        if path is None:
            yield Finding("problem", name, f"not {where}", remedy([name]))
            continue
        version = program_version(name, path)
        if version is None:
            yield Finding("good", name, str(path))
            continue
        said = f"{path}, version {version[0]}.{version[1]}.{version[2]}"
        if version[:2] < OLDEST:
            yield Finding("problem", name, f"{said}; {OLDEST[0]}.{OLDEST[1]} or newer is needed", INSTALL)
        else:
            yield Finding("good", name, said)
    for name, purpose in _OPTIONAL.items():
        path = find_program(name, fabric_bin) or find_program(name)
        if path is None:
            yield Finding("note", name, f"not found; only {purpose} needs it")
        else:
            yield Finding("good", name, str(path))


def _packages() -> Iterator[Finding]:
    """The distribution's own base requirements, as its metadata lists them."""
    try:
        requirements = importlib.metadata.requires("edgeproof") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("problem", "edgeproof", "the package is not installed", "run `make` in the checkout")
        return
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert match is not None
        name = match[0]
        try:
            yield Finding("good", name, f"Python package, version {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("problem", name, "this Python package is missing", "run `make` in the checkout")


def _ports(layout: Layout, topology: Topology, host: str | None) -> Iterator[Finding]:
    wanted = list(check_ports(layout, topology, host))
    for problem in port_problems(layout, topology, wanted):
        yield Finding("problem", problem.subject, problem.text, problem.remedy)
    free = sum(not found.problem for found in wanted)
    nodes = expected_nodes(layout, topology)
    mine = sum(len(node.ports) for node in nodes if host in (None, node.host)) - len(wanted)
    if free or mine:
        yield Finding("good", "ports", f"{free} free, {mine} in use by this network")


def _disk(root: Path) -> Iterator[Finding]:
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / _GIB:.1f} GiB free below {place}"
    if free < _GIB:
        yield Finding("problem", "disk", text, "make room: orderers and peers stop when they cannot write")
    elif free < 5 * _GIB:
        yield Finding("note", "disk", text, "ledgers only grow; watch it")
    else:
        yield Finding("good", "disk", text)


def _memory(layout: Layout, counts: dict[str, int]) -> Iterator[Finding]:
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    # What runs already has its memory.
    available += sum(record.process.memory_bytes() for record in Records(layout.run).living("node"))
    wanted = sum(_BUSY[kind] * count for kind, count in counts.items())
    busy = f"{sum(counts.values())} busy processes take about {wanted / _GIB:.1f}"
    text = f"{available / _GIB:.1f} GiB available; {busy}"
    if available < wanted / 3:
        yield Finding("problem", "memory", text, "use a smaller topology (`dev`), or several hosts")
    elif available < wanted:
        yield Finding("note", "memory", text, "enough to start, short under load")
    else:
        yield Finding("good", "memory", text)


def _files() -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        yield Finding(
            "note", "open files", f"a process may open {hard} at most", f"raise the limit to {_FILES} or more"
        )
    else:
        yield Finding("good", "open files", f"a process may open {'any number' if hard < 0 else hard}")


def _clock(*, several: bool) -> Iterator[Finding]:
    try:
        library = ctypes.CDLL(None, use_errno=True)
        state = library.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return
    if state == -1:
        return  # not permitted here: nothing is known
    if state == _TIME_ERROR:
        yield Finding(
            "note",
            "clock",
            "the kernel says that it is not synchronised",
            "peers refuse requests whose time is 15 minutes off"
            + ("; run NTP on every host" if several else ""),
        )
    else:
        yield Finding("good", "clock", "synchronised")


def _identities(layout: Layout) -> Iterator[Finding]:
    now = datetime.now(UTC)
    count = 0
    first: datetime | None = None
    for path in sorted((*layout.root.glob("identities/**/*.pem"), *layout.root.glob("nodes/**/*.pem"))):
        name = str(path.relative_to(layout.root))
        try:
            content = path.read_bytes()
        except OSError as error:
            yield Finding("problem", name, f"cannot be read: {error.strerror}", "give it back to its owner")
            continue
        if b"PRIVATE KEY-----" in content and path.stat().st_mode & 0o077:
            yield Finding(
                "problem", name, "others can read this private key", f"chmod 600 {path}, and renew it"
            )
        if b"BEGIN CERTIFICATE" not in content:
            continue
        for certificate in x509.load_pem_x509_certificates(content):
            count += 1
            until = certificate.not_valid_after_utc
            first = until if first is None else min(first, until)
            if until <= now:
                yield Finding("problem", name, f"expired on {until:%Y-%m-%d}", "`edgeproof network renew`")
            elif until - now < SOON:
                yield Finding("note", name, f"expires on {until:%Y-%m-%d}", "`edgeproof network renew`")
            elif certificate.not_valid_before_utc > now:
                yield Finding("problem", name, "is not valid yet", "set this host's clock")
    if first is not None:
        yield Finding("good", "identities", f"{count} certificates; the first expires on {first:%Y-%m-%d}")


def _revocations(layout: Layout, topology: Topology) -> Iterator[Finding]:
    for msp_id in topology.msp_ids:
        if layout.revoking(msp_id).exists():
            yield Finding(
                "problem",
                f"identities/{msp_id}",
                "a revocation was ended half-way: the chains may still take the lost certificate",
                "`edgeproof network up` finishes it",
            )


def _records(layout: Layout) -> Iterator[Finding]:
    records = Records(layout.run)
    dead = [record for record in records.all("node") if not record.process.alive]
    if dead:
        yield Finding(
            "note",
            "records",
            f"{len(dead)} processes were running when this host or their keeper stopped",
            "`edgeproof network up` starts them again, `edgeproof network down` forgets them",
        )
    keepers = {record.host for record in records.living("keeper")}
    lost = [record for record in records.living("node") if record.host not in keepers]
    if lost:
        yield Finding(
            "problem",
            "records",
            f"{len(lost)} processes run without a keeper",
            "`edgeproof network up` looks after them again, `edgeproof network down` ends them",
        )
