"""An MSP as the folder of files that Fabric's programs read.

The layout is Fabric's own (msp/configbuilder.go): ``cacerts``, ``tlscacerts``, ``crls`` and ``config.yaml``
describe the organisation; ``signcerts`` and ``keystore`` hold one member's identity.
"""

from __future__ import annotations

from pathlib import Path

from identity.files import (
    PrivateKey,
    make_private_folder,
    read_file,
    read_private_key,
    write_file,
    write_private_key,
)
from identity.signatures import spki_of
from identity.signers import Signer

__all__ = ["write_local_msp", "write_msp_folder"]

_CA_FILE = "ca.pem"


def write_msp_folder(
    folder: Path, *, roots: bytes, tls_roots: bytes, revocation_list: bytes | None = None
) -> None:
    """Describe an organisation, with NodeOUs and without any key.

    Every file is written atomically; the folder may be there already and be in use.

    Args:
        folder: made 0700.
        roots: PEM of the authority that certifies members, all node classes alike.
        tls_roots: PEM of the authority that certifies TLS endpoints.
        revocation_list: PEM.

    Raises:
        KeyStoreError: the disk refuses.
    """
    make_private_folder(folder)
    files = {f"cacerts/{_CA_FILE}": roots, f"tlscacerts/{_CA_FILE}": tls_roots}
    if revocation_list is not None:
        files["crls/crl.pem"] = revocation_list
    files["config.yaml"] = _node_units().encode("ascii")
    _write(folder, files)


def write_local_msp(folder: Path, organisation: Path, signer: Signer) -> None:
    """Write one member's local MSP: a copy of the organisation's, with the member's certificate and key.

    Args:
        folder: made 0700.
        organisation: the organisation's MSP folder, its own or ours.
        signer: the member whose key goes into ``keystore`` (0600).

    Raises:
        KeyStoreError: the disk refuses.
    """
    make_private_folder(folder)
    make_private_folder(folder / "keystore")
    key = folder / "keystore" / "key.pem"
    if not key.exists() or _public(read_private_key(key)) != _public(signer.key):
        write_private_key(key, signer.key)
    files = {
        str(path.relative_to(organisation)): read_file(path)
        for path in organisation.rglob("*")
        # Some authorities' tools leave an empty or filled keystore here too; a key never goes along.
        if path.is_file() and path.relative_to(organisation).parts[0] not in ("keystore", "signcerts")
    }
    _write(folder, files | {"signcerts/cert.pem": signer.certificate_pem})


def _public(key: PrivateKey) -> bytes:
    return spki_of(key.public_key())


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
        if not (folder / name).exists() or read_file(folder / name) != content:
            write_file(folder / name, content, mode=0o644)


def _node_units() -> str:
    """NodeOUs: the four classes by Fabric's own names, each certified by the organisation's root."""
    lines = ["NodeOUs:", "  Enable: true"]
    for name in ("Client", "Peer", "Admin", "Orderer"):
        lines += [
            f"  {name}OUIdentifier:",
            f"    Certificate: cacerts/{_CA_FILE}",
            f"    OrganizationalUnitIdentifier: {name.lower()}",
        ]
    return "\n".join(lines) + "\n"
