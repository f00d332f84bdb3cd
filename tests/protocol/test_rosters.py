"""Quorums: exactly the threshold, distinct, in order, every signature good."""

from dataclasses import replace
from itertools import combinations, permutations

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from statements import Signers, make_statement

from identity.keys import KeyPair
from identity.signatures import P256_ORDER, low_s, sign_der
from protocol.anchors import AnchorSignature, Roster
from protocol.errors import InvalidStatement, QuorumNotReached, UntrustedSignature
from protocol.rosters import check_roster, verify_quorum, verify_signed_statement

MESSAGE = b"message"
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("Org1MSP", "Org2MSP", "Org3MSP")}


def spki(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


ROSTER = Roster("edge-a", 1, 2, {name: spki(key) for name, key in KEYS.items()})
GOOD = {name: AnchorSignature(name, sign_der(key, MESSAGE)) for name, key in KEYS.items()}


def test_every_sorted_pair_is_a_quorum_and_no_other_list():
    names = sorted(KEYS)
    for count in range(4):
        for chosen in permutations(names, count):
            signatures = [GOOD[name] for name in chosen]
            if chosen in set(combinations(names, 2)):
                verify_quorum(ROSTER, MESSAGE, signatures)
            else:
                with pytest.raises(QuorumNotReached):
                    verify_quorum(ROSTER, MESSAGE, signatures)


def test_one_organisation_twice_is_no_quorum():
    with pytest.raises(QuorumNotReached):
        verify_quorum(ROSTER, MESSAGE, [GOOD["Org1MSP"]] * 2)


def high_s(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, P256_ORDER - s)


@pytest.mark.parametrize(
    "bad",
    [
        AnchorSignature("Org2MSP", sign_der(KEYS["Org2MSP"], b"another message")),
        AnchorSignature("Org2MSP", sign_der(KEYS["Org1MSP"], MESSAGE)),
        AnchorSignature("Org2MSP", high_s(GOOD["Org2MSP"].signature)),
        AnchorSignature("Org2MSP", GOOD["Org2MSP"].signature + b"\x00"),
        AnchorSignature("Org2MSP", b""),
        AnchorSignature("Org9MSP", GOOD["Org2MSP"].signature),
    ],
    ids=["message", "key", "high-s", "trailing", "empty", "stranger"],
)
def test_one_bad_signature_refuses_all(bad):
    with pytest.raises(UntrustedSignature):
        verify_quorum(ROSTER, MESSAGE, [GOOD["Org1MSP"], bad])


@pytest.mark.parametrize("threshold", [-1, 0, 4])
def test_thresholds_that_no_quorum_fits(threshold):
    with pytest.raises(QuorumNotReached):
        check_roster(replace(ROSTER, threshold=threshold))
    with pytest.raises(QuorumNotReached):
        verify_quorum(replace(ROSTER, threshold=threshold), MESSAGE, [])


@pytest.mark.parametrize(
    "keys",
    [
        ROSTER.keys | {"Org4MSP": ROSTER.keys["Org1MSP"]},
        ROSTER.keys | {"Org4MSP": b""},
        ROSTER.keys | {"Org4MSP": KeyPair.generate("ed25519").spki},
    ],
    ids=["shared", "empty", "ed25519"],
)
def test_keys_that_no_roster_has(keys):
    with pytest.raises(UntrustedSignature):
        check_roster(replace(ROSTER, keys=keys))


def test_versions_count_from_one():
    with pytest.raises(UntrustedSignature):
        check_roster(replace(ROSTER, version=0))


def test_signed_statements_under_their_own_chains_roster():
    signers = Signers("edge-a")
    signed = signers.sign(make_statement("edge-a", 1))
    verify_signed_statement(signers.roster, signed)
    with pytest.raises(InvalidStatement):
        verify_signed_statement(replace(signers.roster, chain="edge-b"), signed)
    with pytest.raises(UntrustedSignature):
        verify_signed_statement(Signers("edge-a").roster, signed)
    with pytest.raises(UntrustedSignature):
        verify_signed_statement(signers.roster, replace(signed, statement=replace(signed.statement, news=2)))


def test_a_roster_signature_is_no_anchor_signature():
    """Signing a digest alone must not be worth a signature over a statement with that digest."""
    key = KEYS["Org1MSP"]
    statement = make_statement("edge-a", 1)
    raw = low_s(key.sign(statement.digest(), ec.ECDSA(hashes.SHA256())))
    with pytest.raises(UntrustedSignature):
        verify_quorum(
            replace(ROSTER, threshold=1), statement.signing_bytes(), [AnchorSignature("Org1MSP", raw)]
        )
