/* Powers modulo an odd N by AVX-512 IFMA: residues in Montgomery form, limbs of 52 bits, eight to a register.
 *
 * Almost Montgomery multiplication (Gueron 2012): with R > 4N and operands below 2N the result is below 2N, so
 * that nothing is ever subtracted. Not constant in time: bases and exponents are public here.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_IFMA 1
#include <immintrin.h>
#else
#define HAVE_IFMA 0
#endif

#define LIMB 52
#define MASK ((UINT64_C(1) << LIMB) - 1)
#define LANES 8
#define MOST 8 /* registers a residue: up to 3,326 bits */

typedef struct {
    uint64_t n[MOST * LANES];
    uint64_t square[MOST * LANES]; /* R^2 mod N */
    uint64_t inverse;              /* -1/N mod 2^52 */
    int limbs, lanes, bytes;       /* limbs that are multiplied; limbs of a residue in memory; bytes of N */
    void (*multiply)(uint64_t *, const uint64_t *, const uint64_t *, const uint64_t *, uint64_t, int);
} edgeproof_modulus;

int edgeproof_supported(void) {
#if HAVE_IFMA
    /* Whatever TARGET below lets the compiler use; "avx512f" also says that the system keeps the registers. */
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma") &&
           __builtin_cpu_supports("bmi2");
#else
    return 0;
#endif
}

#if HAVE_IFMA
#define TARGET __attribute__((target("avx512f,avx512ifma,bmi2")))

/* out = a * b / R, the loop over the limbs of b; one register of limbs is shifted down by one each time. */
TARGET static inline __attribute__((always_inline)) void amm(
    uint64_t *out, const uint64_t *a, const uint64_t *b, const uint64_t *n, uint64_t inverse, int limbs, const int v) {
    __m512i r[MOST], x[MOST], m[MOST];
    const __m512i zero = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < v; j++) {
        r[j] = zero;
        x[j] = _mm512_loadu_si512(a + j * LANES);
        m[j] = _mm512_loadu_si512(n + j * LANES);
    }
    /* Limb 0 is kept in a scalar, with its carries: the next quotient digit waits for it. */
    uint64_t low = 0;
    const uint64_t a0 = a[0], n0 = n[0];
    for (int i = 0; i < limbs; i++) {
        const uint64_t digit = b[i];
        const __m512i y = _mm512_set1_epi64((long long)digit);
        unsigned __int128 t = (unsigned __int128)a0 * digit + low;
        const uint64_t q = ((uint64_t)t * inverse) & MASK;
        t += (unsigned __int128)n0 * q;
        low = (uint64_t)(t >> LIMB);
        const __m512i z = _mm512_set1_epi64((long long)q);
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) r[j] = _mm512_madd52lo_epu64(r[j], x[j], y);
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) r[j] = _mm512_madd52lo_epu64(r[j], m[j], z);
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) r[j] = _mm512_alignr_epi64(j + 1 < v ? r[j + 1] : zero, r[j], 1);
        low += (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(r[0]));
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) r[j] = _mm512_madd52hi_epu64(r[j], x[j], y);
#pragma GCC unroll 8
        for (int j = 0; j < v; j++) r[j] = _mm512_madd52hi_epu64(r[j], m[j], z);
    }
    r[0] = _mm512_mask_set1_epi64(r[0], 1, (long long)low);
    /* Carries: each limb's overflow moves up once; what still ripples is found by one addition of masks. */
    const __m512i mask = _mm512_set1_epi64((long long)MASK);
    __m512i up[MOST];
    uint64_t over = 0, full = 0;
#pragma GCC unroll 8
    for (int j = 0; j < v; j++) {
        up[j] = _mm512_srli_epi64(r[j], LIMB);
        r[j] = _mm512_and_si512(r[j], mask);
    }
#pragma GCC unroll 8
    for (int j = 0; j < v; j++) {
        r[j] = _mm512_add_epi64(r[j], _mm512_alignr_epi64(up[j], j ? up[j - 1] : zero, 7));
        over |= (uint64_t)_mm512_cmpgt_epu64_mask(r[j], mask) << (8 * j);
        full |= (uint64_t)_mm512_cmpeq_epu64_mask(r[j], mask) << (8 * j);
    }
    const uint64_t ripple = ((over << 1) + full) ^ full;
#pragma GCC unroll 8
    for (int j = 0; j < v; j++) {
        const __mmask8 here = (__mmask8)(ripple >> (8 * j));
        r[j] = _mm512_mask_sub_epi64(r[j], here, r[j], _mm512_set1_epi64(-1));
        _mm512_storeu_si512(out + j * LANES, _mm512_and_si512(r[j], mask));
    }
}

#define INSTANCE(v)                                                                                              \
    TARGET static void amm_##v(uint64_t *out, const uint64_t *a, const uint64_t *b, const uint64_t *n,           \
                               uint64_t inverse, int limbs) {                                                    \
        amm(out, a, b, n, inverse, limbs, v);                                                                    \
    }
INSTANCE(2)
INSTANCE(3)
INSTANCE(5)
INSTANCE(8)
#endif

static void to_limbs(uint64_t *out, int lanes, const uint8_t *raw, int bytes) {
    memset(out, 0, sizeof(uint64_t) * (size_t)lanes);
    for (int i = 0; i < bytes * 8; i += 4) { /* 52 bits are 13 half bytes */
        uint64_t half = (uint64_t)(raw[i / 8] >> (i % 8)) & 15;
        out[i / LIMB] |= half << (i % LIMB);
    }
}

static void to_bytes(uint8_t *raw, int bytes, const uint64_t *limbs, int lanes) {
    memset(raw, 0, (size_t)bytes);
    for (int i = 0; i < bytes * 8 && i / LIMB < lanes; i += 4)
        raw[i / 8] |= (uint8_t)(((limbs[i / LIMB] >> (i % LIMB)) & 15) << (i % 8));
}

/* N, R^2 mod N as little-endian bytes; R = 2^(52 limbs) > 4N. NULL: not this width, or no memory. */
edgeproof_modulus *edgeproof_modulus_new(const uint8_t *n, const uint8_t *square, int bytes, int limbs,
                                         uint64_t inverse) {
#if HAVE_IFMA
    edgeproof_modulus *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    made->inverse = inverse;
    made->limbs = limbs;
    made->bytes = bytes;
    if (limbs <= 16) made->lanes = 16, made->multiply = amm_2;
    else if (limbs <= 24) made->lanes = 24, made->multiply = amm_3;
    else if (limbs <= 40) made->lanes = 40, made->multiply = amm_5;
    else if (limbs <= 64) made->lanes = 64, made->multiply = amm_8;
    else {
        free(made);
        return NULL;
    }
    to_limbs(made->n, made->lanes, n, bytes);
    to_limbs(made->square, made->lanes, square, bytes);
    return made;
#else
    (void)n, (void)square, (void)bytes, (void)limbs, (void)inverse;
    return NULL;
#endif
}

void edgeproof_modulus_free(edgeproof_modulus *modulus) { free(modulus); }

static inline void multiply(const edgeproof_modulus *m, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    m->multiply(out, a, b, m->n, m->inverse, m->limbs);
}

static void enter(const edgeproof_modulus *m, uint64_t *out, const uint8_t *raw) {
    to_limbs(out, m->lanes, raw, m->bytes);
    multiply(m, out, out, m->square);
}

static void leave(const edgeproof_modulus *m, uint8_t *raw, const uint64_t *residue) {
    uint64_t one[MOST * LANES] = {1}, plain[MOST * LANES];
    multiply(m, plain, residue, one); /* at most N */
    to_bytes(raw, m->bytes, plain, m->lanes);
}

/* 1 mod N, for the empty product; N is 3 or more. */
static void leave_one(const edgeproof_modulus *m, uint8_t *raw) {
    memset(raw, 0, (size_t)m->bytes);
    raw[0] = 1;
}

static inline int bit(const uint8_t *exponent, size_t place) { return exponent[place / 8] >> (place % 8) & 1; }

static inline unsigned bits_from(const uint8_t *exponent, size_t place, unsigned count, size_t all) {
    unsigned digit = 0;
    for (unsigned i = 0; i < count && place + i < all; i++) digit |= (unsigned)bit(exponent, place + i) << i;
    return digit;
}

/* base^exponent by sliding windows from the top. 0, or -1 without memory. Leading zeros may be among the bits. */
int edgeproof_power(const edgeproof_modulus *m, const uint8_t *base, const uint8_t *exponent, size_t bits,
                    unsigned window, uint8_t *out) {
    const size_t size = (size_t)m->lanes, odd = (size_t)1 << (window - 1);
    while (bits > 0 && !bit(exponent, bits - 1)) bits--;
    if (bits == 0) {
        leave_one(m, out);
        return 0;
    }
    uint64_t *table = malloc(odd * size * sizeof *table), square[MOST * LANES], residue[MOST * LANES];
    if (table == NULL) return -1;
    enter(m, table, base);
    multiply(m, square, table, table);
    for (size_t i = 1; i < odd; i++) multiply(m, table + i * size, table + (i - 1) * size, square);
    int started = 0;
    for (size_t place = bits; place > 0;) {
        if (!bit(exponent, place - 1)) {
            multiply(m, residue, residue, residue);
            place--;
            continue;
        }
        size_t end = place > window ? place - window : 0;
        while (!bit(exponent, end)) end++;
        const unsigned digit = bits_from(exponent, end, (unsigned)(place - end), bits);
        if (started) {
            for (; place > end; place--) multiply(m, residue, residue, residue);
            multiply(m, residue, residue, table + (digit / 2) * size);
        } else {
            memcpy(residue, table + (digit / 2) * size, size * sizeof *residue);
            place = end;
            started = 1;
        }
    }
    leave(m, out, residue);
    free(table);
    return 0;
}

/* base^exponent for each exponent over one chain of squarings, from the bottom; see accumulator/powers.py. */
int edgeproof_powers(const edgeproof_modulus *m, const uint8_t *base, const uint8_t *const *exponents,
                     const size_t *bits, int count, unsigned window, uint8_t *out) {
    const size_t size = (size_t)m->lanes, odd = (size_t)1 << (window - 1);
    uint64_t *buckets = malloc((size_t)count * odd * size * sizeof *buckets);
    uint8_t *held = calloc((size_t)count * odd, 1);
    size_t *next = calloc((size_t)count, sizeof *next), length = 0;
    int result = -1;
    if (buckets == NULL || held == NULL || next == NULL) goto end;
    uint64_t chain[MOST * LANES];
    enter(m, chain, base);
    for (int e = 0; e < count; e++) {
        if (bits[e] > length) length = bits[e];
        while (next[e] < bits[e] && !bit(exponents[e], next[e])) next[e]++;
    }
    for (size_t place = 0; place < length; place++) {
        if (place) multiply(m, chain, chain, chain);
        for (int e = 0; e < count; e++) {
            if (next[e] != place || place >= bits[e]) continue;
            const size_t at = (size_t)e * odd + bits_from(exponents[e], place, window, bits[e]) / 2;
            if (held[at]) multiply(m, buckets + at * size, buckets + at * size, chain);
            else memcpy(buckets + at * size, chain, size * sizeof *chain), held[at] = 1;
            next[e] = place + window;
            while (next[e] < bits[e] && !bit(exponents[e], next[e])) next[e]++;
        }
    }
    for (int e = 0; e < count; e++) {
        /* The product of buckets[i]^(2i + 1): the square of that of buckets[i]^i, times that of all. */
        uint64_t running[MOST * LANES], total[MOST * LANES];
        int any = 0, some = 0;
        uint64_t *first = buckets + (size_t)e * odd * size;
        const uint8_t *full = held + (size_t)e * odd;
        for (size_t i = odd - 1; i > 0; i--) {
            if (full[i]) {
                if (any) multiply(m, running, running, first + i * size);
                else memcpy(running, first + i * size, size * sizeof *running), any = 1;
            }
            if (any) {
                if (some) multiply(m, total, total, running);
                else memcpy(total, running, size * sizeof *total), some = 1;
            }
        }
        if (some) {
            multiply(m, total, total, total);
            multiply(m, total, total, running);
            if (full[0]) multiply(m, total, total, first);
        } else if (full[0]) {
            memcpy(total, first, size * sizeof *total);
        } else { /* the exponent is 0 */
            leave_one(m, out + (size_t)e * (size_t)m->bytes);
            continue;
        }
        leave(m, out + (size_t)e * (size_t)m->bytes, total);
    }
    result = 0;
end:
    free(buckets);
    free(held);
    free(next);
    return result;
}
