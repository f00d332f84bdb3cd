"""An MSP as the folder of files that Fabric's programs read.

The layout is Fabric's own (msp/configbuilder.go): ``cacerts``, ``tlscacerts``, ``crls`` and ``config.yaml``
describe the organisation; ``signcerts`` and ``keystore`` hold one member's identity.
"""

from __future__ import annotations

from pathlib import Path

from identity.files import make_private_folder, write_file, write_private_key
from identity.signers import Signer

__all__ = ["write_msp_folder"]

_CA_FILE = "ca.pem"


def write_msp_folder(
    folder: Path,
    *,
    roots: bytes,
    tls_roots: bytes,
    revocation_list: bytes | None = None,
    signer: Signer | None = None,
) -> None:
    """Write an organisation's MSP with NodeOUs; with a signer, that member's local MSP.

    Every file is written atomically; the folder may be there already and be in use.

    Args:
        folder: made 0700.
        roots: PEM of the authority that certifies members, all node classes alike.
        tls_roots: PEM of the authority that certifies TLS endpoints.
        revocation_list: PEM.
        signer: the member whose key goes into ``keystore`` (0600).

    Raises:
        KeyStoreError: the disk refuses.
    """
    make_private_folder(folder)
    files = {f"cacerts/{_CA_FILE}": roots, f"tlscacerts/{_CA_FILE}": tls_roots}
    if revocation_list is not None:
        files["crls/crl.pem"] = revocation_list
    if signer is not None:
        make_private_folder(folder / "keystore")
        write_private_key(folder / "keystore" / "key.pem", signer.key)
        files["signcerts/cert.pem"] = signer.certificate_pem
    for name, content in files.items():
        (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
        write_file(folder / name, content, mode=0o644)
    write_file(folder / "config.yaml", _node_units().encode("ascii"), mode=0o644)


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
