// Functions over the vector layer. Include it after vector_avx512.h, vector_avx2.h or vector_portable.h.
#pragma once
#include <math.h>

// e^x within a unit in the last place: x = n ln 2 + r with |r| <= ln 2 / 2, so e^x = 2^n e^r. e^r is taken as
// 1 + r + r^2 p(r), where p has degree 4 and the smallest relative error (3e-9, far below float's 6e-8).
// Below -103.97 the result is 0, above 88.72 it is infinity; NaN stays NaN.
CK_TEMPLATE vector vector_exp(vector x) {
    // Clamped to where the result is 0 or infinity for certain and n stays in vector_scale's range. Constants come
    // first, so that NaN passes.
    x = vector_minimum(vector_set(100.0f), vector_maximum(vector_set(-110.0f), x));
    vector n = vector_round(vector_multiply(x, vector_set(0x1.715476p+0f)));  // 1 / ln 2
    // ln 2 in two parts; the first has trailing zero bits, so that n times it is exact even without a fused multiply.
    vector r = vector_subtract_product(x, n, vector_set(0x1.62e4p-1f));
    r = vector_subtract_product(r, n, vector_set(0x1.7f7d1cp-20f));
    vector p = vector_set(0x1.6a2352p-10f);
    p = vector_multiply_add(p, r, vector_set(0x1.123a6cp-7f));
    p = vector_multiply_add(p, r, vector_set(0x1.5558f4p-5f));
    p = vector_multiply_add(p, r, vector_set(0x1.555490p-3f));
    p = vector_multiply_add(p, r, vector_set(0x1.fffffcp-2f));
    p = vector_multiply_add(p, vector_multiply(r, r), r);
    return vector_scale(vector_add(p, vector_set(1.0f)), n);
}

// 2^x for x <= 1 within two units in the last place, 0 below -150; NaN stays NaN. 2^x = 2^n 2^r with |r| <= 1/2, and
// 2^r is 1 + r p(r), where p has degree 4 and the smallest relative error (9e-8).
CK_TEMPLATE vector vector_power(vector x) {
    x = vector_maximum(vector_set(-160.0f), x);
    vector n = vector_round(x), r = vector_subtract(x, n);
    vector p = vector_set(0x1.5bba14p-10f);
    p = vector_multiply_add(p, r, vector_set(0x1.3cea88p-7f));
    p = vector_multiply_add(p, r, vector_set(0x1.c6b752p-5f));
    p = vector_multiply_add(p, r, vector_set(0x1.ebf9bcp-3f));
    p = vector_multiply_add(p, r, vector_set(0x1.62e42ap-1f));
    return vector_scale(vector_multiply_add(p, r, vector_set(1.0f)), n);
}

CK_TEMPLATE float scalar_exp(float x) { return vector_first_lane(vector_exp(vector_set(x))); }

// x / (1 + e^-x). Below -88.72 e^-x overflows and the result is -0; NaN stays NaN.
CK_TEMPLATE vector vector_silu(vector x) {
    vector negative = vector_subtract(vector_set(0.0f), x);
    return vector_divide(x, vector_add(vector_set(1.0f), vector_exp(negative)));
}
