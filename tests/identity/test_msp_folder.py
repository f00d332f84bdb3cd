from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identity import DevelopmentAuthority, Role, write_local_msp, write_msp_folder
from identity.files import read_private_key

NOW = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def authority(tmp_path: Path) -> DevelopmentAuthority:
    return DevelopmentAuthority.create("Org1MSP", tmp_path / "ca", now=NOW)


def write(authority: DevelopmentAuthority, folder: Path) -> None:
    write_msp_folder(
        folder,
        roots=authority.root_certificate_pem,
        tls_roots=b"TLS",
        revocation_list=authority.revocation_list_pem,
    )


def test_an_organisation_has_no_key(authority: DevelopmentAuthority, tmp_path: Path) -> None:
    write(authority, tmp_path / "msp")
    files = {str(path.relative_to(tmp_path / "msp")) for path in (tmp_path / "msp").rglob("*.*")}
    assert files == {"cacerts/ca.pem", "tlscacerts/ca.pem", "config.yaml"}


def test_a_revocation_list_comes_along_when_there_is_one(
    authority: DevelopmentAuthority, tmp_path: Path
) -> None:
    authority.revoke(authority.issue("x", Role.CLIENT, now=NOW))
    write(authority, tmp_path / "msp")
    assert (tmp_path / "msp" / "crls" / "crl.pem").read_bytes() == authority.revocation_list_pem


def test_a_member_has_the_organisations_files_and_its_own_key(
    authority: DevelopmentAuthority, tmp_path: Path
) -> None:
    organisation, member = tmp_path / "msp", tmp_path / "node"
    write(authority, organisation)
    # As an authority's tool may leave them in an organisation's folder.
    for name in ("keystore", "signcerts"):
        (organisation / name).mkdir()
        (organisation / name / "old.pem").write_bytes(b"old")
    signer = authority.issue("peer", Role.PEER, now=NOW)
    write_local_msp(member, organisation, signer)
    assert [path.name for path in (member / "keystore").iterdir()] == ["key.pem"]
    assert [path.name for path in (member / "signcerts").iterdir()] == ["cert.pem"]
    assert (member / "keystore" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert (member / "cacerts" / "ca.pem").read_bytes() == authority.root_certificate_pem


def test_writing_again_changes_only_what_differs(authority: DevelopmentAuthority, tmp_path: Path) -> None:
    organisation, member = tmp_path / "msp", tmp_path / "node"
    write(authority, organisation)
    first, second = (authority.issue("peer", Role.PEER, now=NOW) for _ in range(2))
    write_local_msp(member, organisation, first)
    inodes = {path: path.stat().st_ino for path in member.rglob("*.pem")}
    write_local_msp(member, organisation, first)
    assert inodes == {path: path.stat().st_ino for path in member.rglob("*.pem")}
    write_local_msp(member, organisation, second)
    key = read_private_key(member / "keystore" / "key.pem")
    assert key.public_key() == second.key.public_key()
