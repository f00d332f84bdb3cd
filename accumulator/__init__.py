"""The RSA accumulator: pure number theory over gmpy2, without clock, disk or socket.

The paper's own unsound forms are in `accumulator.paper`, multiplication counting in `accumulator.counting`;
neither is imported here, nor are `accumulator.table_files`, which keeps tables on a disk, and
`accumulator.pools`, which starts processes.
"""

from accumulator.append_only import (
    AppendOnlyProof,
    decode_append_only,
    encode_append_only,
    prove_append_only,
    verify_append_only,
)
from accumulator.batch import MembershipInstance, aggregate, verify_aggregate, verify_batch, verify_stream
from accumulator.encodings import decode_value, decode_value_hex, encode_value, encode_value_hex
from accumulator.errors import (
    AccumulatorError,
    Cancelled,
    EncodingError,
    InvalidAppendOnlyProof,
    InvalidCertificate,
    InvalidExponentiationProof,
    InvalidMembership,
    InvalidNonMembership,
    InvalidParameters,
    InvalidProof,
    InvalidTable,
    NotInGroup,
    NotPrimeRepresentative,
    OutOfRange,
)
from accumulator.exponentiation import ExponentiationProof, prove_exponentiation, verify_exponentiation
from accumulator.membership import all_membership_witnesses, membership_witness, verify_membership
from accumulator.non_membership import (
    NonMembershipProof,
    decode_non_membership,
    encode_non_membership,
    prove_non_membership,
    prove_range_non_membership,
    verify_non_membership,
    verify_range_non_membership,
)
from accumulator.parameters import RSA_2048, Modulus, Parameters, default_parameters
from accumulator.primes import (
    CERTIFICATE_WINDOW,
    PrimeRepresentative,
    check_canonical_certificate,
    check_certificate,
    hash_to_prime,
    is_prime,
)
from accumulator.root_factor import LazyWitnesses
from accumulator.tables import FixedBaseTable, build_table
from accumulator.update import accumulate, product, update

__all__ = [
    "CERTIFICATE_WINDOW",
    "RSA_2048",
    "AccumulatorError",
    "AppendOnlyProof",
    "Cancelled",
    "EncodingError",
    "ExponentiationProof",
    "FixedBaseTable",
    "InvalidAppendOnlyProof",
    "InvalidCertificate",
    "InvalidExponentiationProof",
    "InvalidMembership",
    "InvalidNonMembership",
    "InvalidParameters",
    "InvalidProof",
    "InvalidTable",
    "LazyWitnesses",
    "MembershipInstance",
    "Modulus",
    "NonMembershipProof",
    "NotInGroup",
    "NotPrimeRepresentative",
    "OutOfRange",
    "Parameters",
    "PrimeRepresentative",
    "accumulate",
    "aggregate",
    "all_membership_witnesses",
    "build_table",
    "check_canonical_certificate",
    "check_certificate",
    "decode_append_only",
    "decode_non_membership",
    "decode_value",
    "decode_value_hex",
    "default_parameters",
    "encode_append_only",
    "encode_non_membership",
    "encode_value",
    "encode_value_hex",
    "hash_to_prime",
    "is_prime",
    "membership_witness",
    "product",
    "prove_append_only",
    "prove_exponentiation",
    "prove_non_membership",
    "prove_range_non_membership",
    "update",
    "verify_aggregate",
    "verify_append_only",
    "verify_batch",
    "verify_exponentiation",
    "verify_membership",
    "verify_non_membership",
    "verify_range_non_membership",
    "verify_stream",
]
