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

// x / (1 + e^(-1.702 x)).
CK_TEMPLATE vector vector_gelu_quick(vector x) {
    vector e = vector_exp(vector_multiply(vector_set(-1.702f), x));
    return vector_divide(x, vector_add(vector_set(1.0f), e));
}

// (1 + tanh u) / 2 = 1 / (1 + e^(-2u)), with u = sqrt(2 / pi) (x + 0.044715 x^3).
CK_TEMPLATE vector vector_gelu_tanh(vector x) {
    vector square = vector_multiply(x, x);
    const float scale = -2 * 0x1.988454p-1f;
    vector factor = vector_multiply_add(square, vector_set(scale * 0.044715f), vector_set(scale));
    vector e = vector_exp(vector_multiply(factor, x));
    return vector_divide(x, vector_add(vector_set(1.0f), e));
}

// erf within 2e-7 (Abramowitz and Stegun, 7.1.26): 1 - t p(t) e^(-z^2) with t = 1 / (1 + 0.3275911 z), for z >= 0. With
// z = |x| / sqrt 2 and h = t p(t) e^(-z^2) / 2 GELU is x (1 - h) for positive x and x h for negative: max(x, 0) - |x| h.
CK_TEMPLATE vector vector_gelu_erf(vector x) {
    // Beyond 100 h is 0, and stays it.
    vector magnitude = vector_maximum(vector_subtract(vector_set(0.0f), x), x);
    magnitude = vector_minimum(vector_set(100.0f), magnitude);
    vector z = vector_multiply(magnitude, vector_set(0x1.6a09e6p-1f));
    vector t = vector_divide(
        vector_set(1.0f), vector_multiply_add(z, vector_set(0.3275911f), vector_set(1.0f)));
    vector p = vector_set(1.061405429f);
    p = vector_multiply_add(p, t, vector_set(-1.453152027f));
    p = vector_multiply_add(p, t, vector_set(1.421413741f));
    p = vector_multiply_add(p, t, vector_set(-0.284496736f));
    p = vector_multiply_add(p, t, vector_set(0.254829592f));
    vector e = vector_exp(vector_multiply(vector_subtract(vector_set(0.0f), z), z));
    vector half = vector_multiply(vector_multiply(vector_set(0.5f), e), vector_multiply(p, t));
    return vector_subtract_product(vector_maximum(vector_set(0.0f), x), magnitude, half);
}
