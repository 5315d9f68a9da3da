// WebP through libwebp.
#include "CImageCodecs.h"

#if !__has_include(<webp/decode.h>)
#error "libwebp is not installed: run scripts/install-deps.sh (Debian: apt-get install libjpeg-dev libpng-dev libwebp-dev)"
#endif
#include <stdio.h>

#include <webp/decode.h>

static const char *reason(VP8StatusCode status) {
    switch (status) {
        case VP8_STATUS_OUT_OF_MEMORY: return "out of memory";
        case VP8_STATUS_NOT_ENOUGH_DATA: return "the file is truncated";
        case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses an unsupported feature";
        default: return "the data is corrupt";
    }
}

int ci_webp_size(const uint8_t *data, size_t count, ci_size *size, char message[CI_MESSAGE]) {
    WebPBitstreamFeatures features;
    VP8StatusCode status = WebPGetFeatures(data, count, &features);
    if (status != VP8_STATUS_OK) {
        snprintf(message, CI_MESSAGE, "%s", reason(status));
        return 0;
    }
    if (features.has_animation) {
        snprintf(message, CI_MESSAGE, "it is an animation, which is not supported");
        return 0;
    }
    *size = (ci_size){features.width, features.height};
    return 1;
}

int ci_webp_decode(const uint8_t *data, size_t count, ci_size size, uint8_t *pixels, char message[CI_MESSAGE]) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        snprintf(message, CI_MESSAGE, "libwebp has another version than its headers");
        return 0;
    }
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels;
    config.output.u.RGBA.stride = (int)(3 * size.width);  // a WebP is at most 16,384 pixels wide
    config.output.u.RGBA.size = (size_t)(3 * size.width * size.height);
    VP8StatusCode status = WebPDecode(data, count, &config);  // which never writes beyond the size given above
    int fits = config.output.width == size.width && config.output.height == size.height;
    if (status == VP8_STATUS_OK && fits) return 1;
    snprintf(message, CI_MESSAGE, "%s", reason(status));
    return 0;
}
