// JPEG, PNG and WebP through the system's libraries, behind one plain interface.
//
// The libraries report errors by longjmp and through function pointers with variable arguments, which Swift can't call;
// nothing of that crosses this border. A file's header is read first, so that the caller can check the size and allocate
// the pixels; only then are they decoded. Colors become what Pillow's `convert("RGB")` makes of them, as that is what the
// reference image processors see.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CI_MESSAGE = 256 };  // bytes for an error's text, the terminating zero included

typedef struct ci_size {
    int64_t width;
    int64_t height;
} ci_size;

// Each returns 1, or 0 with a text in `message`. Nothing but the header is looked at, and nothing large is allocated.
int ci_jpeg_size(const uint8_t *data, size_t count, ci_size *size, char message[CI_MESSAGE]);
int ci_png_size(const uint8_t *data, size_t count, ci_size *size, char message[CI_MESSAGE]);
int ci_webp_size(const uint8_t *data, size_t count, ci_size *size, char message[CI_MESSAGE]);

// Decodes to RGB bytes, [height][width][3]. `size` must be what the header said.
int ci_jpeg_decode(const uint8_t *data, size_t count, ci_size size, uint8_t *pixels, char message[CI_MESSAGE]);
int ci_png_decode(const uint8_t *data, size_t count, ci_size size, uint8_t *pixels, char message[CI_MESSAGE]);
int ci_webp_decode(const uint8_t *data, size_t count, ci_size size, uint8_t *pixels, char message[CI_MESSAGE]);
