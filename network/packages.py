"""Chaincode packages and the peers' external builder.

The chaincode runs as a service of its own, so a package holds no code: it is a label in a file, the same for
all organisations, and its hash is what they approve. Where the service of one organisation listens is known
to its peer alone, by a file in the peer's own folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from network.files import write_bytes, write_text
from network.layout import Layout
from network.peer_config import BUILDER
from network.topology import Node

__all__ = [
    "CHAINCODE",
    "Package",
    "connections_folder",
    "make_package",
    "packages_in_use",
    "write_builder",
    "write_connection",
]

CHAINCODE: Final = "edgeproof"
"""Name of the chaincode on every channel."""

_DETECT: Final = f"""#!/bin/sh
# Fabric asks whether this builder takes a package: its metadata are in $2.
grep -q '"type":"{BUILDER}"' "$2/metadata.json"
"""
_BUILD: Final = """#!/bin/sh
# There is nothing to build; the label is kept for the release.
cp "$2/metadata.json" "$3/metadata.json"
"""
_RELEASE: Final = """#!/bin/sh
# Tells the peer where the package's service is, by what its operator wrote down for this label.
set -eu
umask 077
label=$(sed -n 's/.*"label":"\\([A-Za-z0-9_.+-]*\\)".*/\\1/p' "$1/metadata.json")
mkdir -p "$2/chaincode/server"
cp "$EDGEPROOF_CONNECTIONS/$label.json" "$2/chaincode/server/connection.json"
"""


@dataclass(frozen=True)
class Package:
    """One package."""

    number: int
    """1 at first, one more with every upgrade. A chain that was added later has other sequence numbers."""
    chaincode: str
    """Name of the chaincode on the channel."""
    content: bytes = field(repr=False)

    @classmethod
    def make(cls, number: int, chaincode: str = CHAINCODE) -> Package:
        """The package of a number; the same bytes wherever it is made."""
        metadata = {"label": f"{chaincode}_{number}", "path": "", "type": BUILDER}
        files = {
            "metadata.json": json.dumps(metadata, separators=(",", ":")).encode(),
            "code.tar.gz": _archive({}),
        }
        return cls(number, chaincode, _archive(files))

    @property
    def label(self) -> str:
        """Its name; Fabric lets several packages have one, we do not."""
        return f"{self.chaincode}_{self.number}"

    @cached_property
    def package_id(self) -> str:
        """What Fabric calls it: label and SHA-256."""
        return f"{self.label}:{hashlib.sha256(self.content).hexdigest()}"


def make_package(layout: Layout, package: Package) -> None:
    """Write a package for the tools to install.

    Raises:
        NetworkError: the disk refuses.
    """
    write_bytes(layout.package(package.label), package.content)


def packages_in_use(layout: Layout) -> list[Package]:
    """The packages of our contracts that are written, the newest last; two while one replaces the other."""
    found = []
    for path in layout.packages.glob(f"{CHAINCODE}_*.tar.gz"):
        number = path.name.removeprefix(f"{CHAINCODE}_").removesuffix(".tar.gz")
        if number.isascii() and number.isdigit():
            found.append(Package(int(number), CHAINCODE, path.read_bytes()))
    return sorted(found, key=lambda package: package.number)


def write_builder(layout: Layout) -> None:
    """Write the three scripts of the external builder.

    Raises:
        NetworkError: the disk refuses.
    """
    for name, script in (("detect", _DETECT), ("build", _BUILD), ("release", _RELEASE)):
        write_text(layout.builder / "bin" / name, script, mode=0o755)


def write_connection(layout: Layout, peer: Node, address: str, package: Package) -> None:
    """Tell a peer where its chaincode of this package listens, and how both prove who they are.

    Raises:
        NetworkError: the disk refuses.
    """
    tls = layout.node(peer.name) / "tls"
    connection = {
        "address": address,
        "dial_timeout": "10s",
        "tls_required": True,
        "client_auth_required": True,
        "client_key": (tls / "key.pem").read_text(encoding="ascii"),
        "client_cert": (tls / "cert.pem").read_text(encoding="ascii"),
        "root_cert": layout.tls_roots(peer.msp_id).read_text(encoding="ascii"),
    }
    text = json.dumps(connection, indent=1)
    write_text(connections_folder(layout, peer) / f"{package.label}.json", text, mode=0o600)
    # What the builder released at installation is a copy; a renewed certificate must reach it too.
    released = layout.released(peer.name, package.package_id) / "chaincode" / "server" / "connection.json"
    if released.exists():
        write_text(released, text, mode=0o600)


def connections_folder(layout: Layout, peer: Node) -> Path:
    """Where a peer's operator writes down the services of its packages."""
    return layout.node(peer.name) / "chaincode"


def _archive(files: dict[str, bytes]) -> bytes:
    """A gzipped tar whose bytes depend on the files alone: every organisation makes the same package."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
