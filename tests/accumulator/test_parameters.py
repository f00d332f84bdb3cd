import gmpy2
import pytest

from accumulator import (
    RSA_2048,
    AccumulatorError,
    InvalidParameters,
    Modulus,
    NotInGroup,
    OutOfRange,
    Parameters,
    default_parameters,
)


def test_the_challenge_number_is_the_published_one():
    text = str(RSA_2048)
    assert len(text) == 617
    assert sum(map(int, text)) == 2738
    assert text.startswith("2519590847565789349402718324004839857142928212620403202777713783604366202070")
    assert text.endswith("2120720357")
    assert RSA_2048.bit_length() == 2048
    assert not gmpy2.is_prime(RSA_2048)


def test_two_to_the_4096_modulo_the_challenge():
    # As published in the tests of other accumulators; here by twelve plain squarings.
    expected = int(
        "2172073899553954285893691587818692186975191598984015216589930386158248724081087849265975"
        "17496727372037176277380476487000099770530440575029170919732871116716934260655466121508332"
        "32954361536709981055037121764270784874720971933716065574032615073613728454497477072129686"
        "53887333057277396369601863707823088589609031265453680152037285312247125429494632830592984"
        "49823194163842041340565518401459166858709515078878951293564147044227487142171138804897039"
        "34147612551938082501753055296801829703017260731439871110215618988509545129088484396848644"
        "805730347466581515692959313583208325725034506693916571047785061884094866050395109710"
    )
    value = 2
    for _ in range(12):
        value = value * value % RSA_2048
    assert value == expected
    group = default_parameters("any").group
    assert group.power(2, 4096) == min(expected, RSA_2048 - expected)


def test_generator_is_a_canonical_square_of_the_chain(parameters, other_chain, factors):
    p, q = factors
    for each in (parameters, other_chain):
        assert each.check_value(each.generator) == each.generator
        # ± the generator is a square modulo both primes (both are 3 mod 4, so exactly one sign is).
        assert gmpy2.jacobi(each.generator, p) == gmpy2.jacobi(each.generator, q)
    assert parameters.generator != other_chain.generator


def test_digest_binds_modulus_origin_and_chain(parameters, other_chain, modulus):
    ceremony = Parameters(Modulus(modulus.n, "ceremony"), parameters.chain)
    challenge = default_parameters(parameters.chain)
    digests = {each.digest for each in (parameters, other_chain, ceremony, challenge)}
    assert len(digests) == 4
    assert all(len(each) == 32 for each in digests)
    assert Parameters(modulus, parameters.chain).digest == parameters.digest


@pytest.mark.parametrize("distance", [-2, -1, 1, 2, RSA_2048])
def test_a_number_beside_the_challenge_is_refused(distance):
    with pytest.raises(InvalidParameters):
        Modulus(RSA_2048 + distance, "rsa-2048-challenge")


def test_unusable_moduli_are_refused(modulus, factors):
    p = factors[0]
    for n in (0, 1, -modulus.n, 2 * modulus.n, p, p * p, 2**521 - 1, modulus.n >> 1 | 1):
        with pytest.raises(InvalidParameters):
            Modulus(n, "dealer-for-tests")
    with pytest.raises(InvalidParameters, match="origin"):
        Modulus(modulus.n, "found on the street")
    with pytest.raises(InvalidParameters, match="chain"):
        Parameters(modulus, "")


def test_check_value_refuses_everything_but_the_canonical_representative(parameters, factors):
    n = parameters.modulus.n
    good = parameters.generator
    assert parameters.check_value(good) == good
    for value in (-good, 0, 1, n - 1, n, n + 1, n - good, good + n, good - n, (n - 1) // 2 + 1):
        with pytest.raises(OutOfRange):
            parameters.check_value(value)
    for value in factors:
        with pytest.raises(NotInGroup):
            parameters.check_value(value)
    # The largest canonical value is in range; it is prime to N since 2·((N - 1) / 2) = -1.
    assert parameters.check_value((n - 1) // 2) == (n - 1) // 2


def test_check_element_lets_the_identity_pass_and_nothing_else_more(parameters):
    n = parameters.modulus.n
    assert parameters.check_element(1) == 1
    for value in (0, -1, n - 1, n + 1):
        with pytest.raises(AccumulatorError):
            parameters.check_element(value)


def test_width_in_bytes(parameters):
    assert parameters.value_bytes == 64
    assert default_parameters("main").value_bytes == 256
