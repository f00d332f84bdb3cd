"""Every rule of the certification path: an honest tree passes, and each single fault is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from identity import MalformedIdentity, RevokedCertificate, UntrustedCertificate
from identity.certificates import canonical
from identity.paths import AuthorityTree, is_authority

YEAR = timedelta(days=365)


def _crl(
    issuer: Any,
    revoked: tuple[Any, ...],
    now: datetime,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
    extension: x509.ExtensionType | None = None,
    entry_extension: x509.ExtensionType | None = None,
) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now)
        .next_update(now + YEAR)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    for forged in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(forged.certificate.serial_number)
        entry = entry.revocation_date(now)
        if entry_extension is not None:
            entry = entry.add_extension(entry_extension, critical=True)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key or issuer.key, algorithm or hashes.SHA256())


def _tree(
    roots: list[Any], intermediates: tuple[Any, ...] = (), lists: tuple[Any, ...] = ()
) -> AuthorityTree:
    return AuthorityTree([r.certificate for r in roots], [i.certificate for i in intermediates], lists)


@pytest.fixture(name="root")
def _root(forge_root: Callable[..., Any]) -> Any:
    return forge_root()


@pytest.fixture(name="sub")
def _sub(forge_root: Callable[..., Any], root: Any) -> Any:
    return forge_root("sub", issuer=root)


def test_root_and_intermediate_vouch(
    forge: Callable[..., Any], forge_root: Callable[..., Any], root: Any
) -> None:
    leaf = forge(issuer=root)
    assert _tree([root]).issuer_of(leaf.certificate).certificate == root.certificate
    sub = forge_root("sub", issuer=root)
    subsub = forge_root("subsub", issuer=sub)
    tree = _tree([root], (subsub, sub))  # in any order
    issuer = tree.issuer_of(forge(issuer=subsub).certificate)
    assert issuer.certificate == subsub.certificate
    assert issuer.parent is not None
    assert issuer.parent.parent is not None
    assert issuer.parent.parent.parent is None
    assert sub.certificate in tree
    assert leaf.certificate not in tree


def test_validity_is_the_whole_paths(
    forge_root: Callable[..., Any], forge: Callable[..., Any], now: datetime
) -> None:
    root = forge_root(start=now - YEAR, lifetime=3 * YEAR)
    sub = forge_root("sub", issuer=root, start=now - YEAR / 2, lifetime=9 * YEAR)
    issuer = _tree([root], (sub,)).issuer_of(forge(issuer=sub).certificate)
    assert (issuer.valid_from, issuer.valid_until) == (
        sub.certificate.not_valid_before_utc,
        root.certificate.not_valid_after_utc,
    )


def test_a_stranger_with_the_same_names_is_refused(
    forge: Callable[..., Any], forge_root: Callable[..., Any], root: Any
) -> None:
    impostor = forge_root()
    assert impostor.certificate.subject == root.certificate.subject
    for leaf in (forge(issuer=impostor), forge()):
        with pytest.raises(UntrustedCertificate, match="no authority"):
            _tree([root]).issuer_of(leaf.certificate)


def test_the_signature_is_checked_not_only_the_key_identifier(
    forge: Callable[..., Any], forge_root: Callable[..., Any], root: Any
) -> None:
    """A self-made authority that copies name and key identifier of the real one."""
    skilled = forge_root(
        subject_key_identifier=False,
        extra=((x509.SubjectKeyIdentifier.from_public_key(root.key.public_key()), False),),
    )
    leaf = forge(issuer=type(root)(root.certificate, skilled.key))
    with pytest.raises(UntrustedCertificate, match="no authority"):
        _tree([root]).issuer_of(leaf.certificate)


def test_a_certificate_that_names_another_authoritys_key_is_refused(
    forge: Callable[..., Any], forge_root: Callable[..., Any], root: Any
) -> None:
    leaf = forge(issuer=root, named_authority=forge_root().key)
    with pytest.raises(UntrustedCertificate, match="no authority"):
        _tree([root]).issuer_of(leaf.certificate)


def test_two_authorities_of_one_key_are_told_apart_by_name(
    forge: Callable[..., Any], forge_root: Callable[..., Any], now: datetime
) -> None:
    """One key under two names: certificates and revocation lists count for the name that they carry."""
    one = forge_root("one")
    two = forge_root("two", key=one.key)
    leaf = forge(issuer=one)
    tree = _tree([one, two], lists=(_crl(two, (leaf,), now),))
    assert tree.issuer_of(leaf.certificate).certificate == one.certificate
    with pytest.raises(UntrustedCertificate, match="no authority"):
        _tree([two]).issuer_of(leaf.certificate)


def test_two_roots_of_one_name_are_told_apart(
    forge: Callable[..., Any], forge_root: Callable[..., Any]
) -> None:
    old, new = forge_root(), forge_root()
    tree = _tree([old, new])
    for root in (old, new):
        assert tree.issuer_of(forge(issuer=root).certificate).certificate == root.certificate


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ({"ca": False}, "CA flag"),
        ({"ca": None}, "CA flag"),
        ({"key_cert_sign": False}, "may not sign certificates"),
        ({"key_usage": False}, "no key usage"),
        ({"subject_key_identifier": False}, "subject key identifier"),
        ({"extra": ((x509.NameConstraints([x509.DNSName("a.b")], None), False),)}, "name constraints"),
    ],
)
def test_faulty_authorities_refuse_the_configuration(
    fault: dict[str, Any], match: str, forge_root: Callable[..., Any], root: Any
) -> None:
    with pytest.raises(UntrustedCertificate, match=match):
        _tree([forge_root(**fault)])
    with pytest.raises(UntrustedCertificate, match=match):
        _tree([root], (forge_root("sub", issuer=root, **fault),))


def test_roots_sign_themselves_and_intermediates_reach_a_root(
    forge_root: Callable[..., Any], root: Any, sub: Any
) -> None:
    with pytest.raises(UntrustedCertificate, match="sign itself"):
        _tree([sub])
    with pytest.raises(UntrustedCertificate, match="reaches no root"):
        _tree([forge_root()], (sub,))
    # Two authorities that vouch for each other reach no root either.
    one, two = forge_root("one"), forge_root("two")
    loop = (forge_root("one", issuer=two, key=one.key), forge_root("two", issuer=one, key=two.key))
    with pytest.raises(UntrustedCertificate, match="reaches no root"):
        _tree([root], loop)


def test_path_lengths_bind(forge_root: Callable[..., Any], forge: Callable[..., Any]) -> None:
    closed = forge_root(path_length=0)
    assert _tree([closed]).issuer_of(forge(issuer=closed).certificate)
    with pytest.raises(UntrustedCertificate, match="path length"):
        _tree([closed], (forge_root("sub", issuer=closed),))
    root = forge_root(path_length=1)
    sub = forge_root("sub", issuer=root)  # says nothing: bound by the root all the same
    assert _tree([root], (sub,))
    with pytest.raises(UntrustedCertificate, match="path length"):
        _tree([root], (sub, forge_root("subsub", issuer=sub)))
    wide = forge_root("sub", issuer=root, path_length=5)  # cannot widen what the root gave
    with pytest.raises(UntrustedCertificate, match="path length"):
        _tree([root], (wide, forge_root("subsub", issuer=wide)))


def test_only_the_trees_leaves_certify(forge: Callable[..., Any], root: Any, sub: Any) -> None:
    assert _tree([root], (sub,)).issuer_of(forge(issuer=sub).certificate)
    with pytest.raises(UntrustedCertificate, match="no authority"):
        _tree([root], (sub,)).issuer_of(forge(issuer=root).certificate)


def test_authorities_are_no_identities(forge: Callable[..., Any], root: Any) -> None:
    for certificate in (root.certificate, forge(issuer=root, ca=True).certificate):
        assert is_authority(certificate)
        with pytest.raises(UntrustedCertificate, match="authority's certificate"):
            _tree([root]).issuer_of(certificate)
    assert not is_authority(forge(ca=None).certificate)


def test_a_member_cannot_certify(forge: Callable[..., Any], root: Any) -> None:
    member = forge(issuer=root)
    with pytest.raises(UntrustedCertificate):
        _tree([root]).issuer_of(forge(issuer=member).certificate)
    with pytest.raises(UntrustedCertificate, match="CA flag"):
        _tree([root], (member,))


@pytest.mark.parametrize("fault", [{"digital_signature": False, "key_cert_sign": True}, {"key_usage": False}])
def test_a_key_for_another_purpose_is_refused(
    fault: dict[str, Any], forge: Callable[..., Any], root: Any
) -> None:
    with pytest.raises(UntrustedCertificate):
        _tree([root]).issuer_of(forge(issuer=root, **fault).certificate)


def test_a_leaf_begins_within_its_authoritys_validity(
    forge: Callable[..., Any], forge_root: Callable[..., Any], now: datetime
) -> None:
    root = forge_root(start=now, lifetime=YEAR)
    tree = _tree([root])
    for start, good in (
        (now, True),
        (now + YEAR, True),
        (now - timedelta(seconds=1), False),
        (now + 2 * YEAR, False),
    ):
        leaf = forge(issuer=root, start=start).certificate
        if good:
            assert tree.issuer_of(leaf)
        else:
            with pytest.raises(UntrustedCertificate, match="begins outside"):
                tree.issuer_of(leaf)


def test_revoked_leaves_and_intermediates_are_refused(
    forge: Callable[..., Any], root: Any, sub: Any, now: datetime
) -> None:
    gone, good = forge(issuer=root), forge(issuer=root)
    tree = _tree([root], lists=(_crl(root, (gone,), now),))
    assert tree.issuer_of(good.certificate)
    with pytest.raises(RevokedCertificate):
        tree.issuer_of(gone.certificate)
    with pytest.raises(RevokedCertificate):
        tree.issuer_of(canonical(gone.high_s().certificate))
    with pytest.raises(RevokedCertificate):
        _tree([root], (sub,), (_crl(root, (sub,), now),))


def test_lists_add_up(forge: Callable[..., Any], root: Any, now: datetime) -> None:
    one, two = forge(issuer=root), forge(issuer=root)
    tree = _tree([root], lists=(_crl(root, (one,), now), _crl(root, (two,), now), _crl(root, (), now)))
    for gone in (one, two):
        with pytest.raises(RevokedCertificate):
            tree.issuer_of(gone.certificate)


def test_a_list_binds_its_own_authority_only(
    forge: Callable[..., Any], forge_root: Callable[..., Any], now: datetime
) -> None:
    """The same serial number under two authorities: revoked under one of them."""
    root, other = forge_root(), forge_root("other")
    leaf = forge(issuer=root)
    tree = _tree([root, other], lists=(_crl(other, (leaf,), now),))
    assert tree.issuer_of(leaf.certificate)


def test_unsigned_foreign_and_partial_lists_refuse_the_configuration(
    forge_root: Callable[..., Any], root: Any, sub: Any, now: datetime
) -> None:
    stranger = forge_root()
    wrong: list[tuple[x509.CertificateRevocationList, type[Exception]]] = [
        (_crl(root, (sub,), now, key=stranger.key), UntrustedCertificate),
        (_crl(stranger, (), now), UntrustedCertificate),
        (_crl(type(root)(root.certificate, stranger.key), (), now, key=root.key), UntrustedCertificate),
        (_crl(root, (), now, algorithm=hashes.SHA384()), UntrustedCertificate),
        (_crl(root, (), now, extension=x509.DeltaCRLIndicator(1)), MalformedIdentity),
        (
            _crl(root, (sub,), now, entry_extension=x509.CRLReason(x509.ReasonFlags.key_compromise)),
            MalformedIdentity,
        ),
    ]
    for listed, error in wrong:
        with pytest.raises(error):
            _tree([root], lists=(listed,))
    mute = forge_root(crl_sign=False)
    with pytest.raises(UntrustedCertificate, match="revocation list"):
        _tree([mute], lists=(_crl(mute, (), now),))
