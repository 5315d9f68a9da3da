// PNG through libpng.
#include "CImageCodecs.h"

#if !__has_include(<png.h>)
#error "libpng is not installed: run scripts/install-deps.sh (Debian: apt-get install libjpeg-dev libpng-dev libwebp-dev)"
#endif
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *next;
    size_t left;
    png_bytep scratch;  // rows that don't fit the caller's pixels
    char *message;
} decoder;

static void fail(png_structp png, png_const_charp text) {
    decoder *self = png_get_error_ptr(png);
    snprintf(self->message, CI_MESSAGE, "%s", text);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t count) {
    decoder *self = png_get_io_ptr(png);
    if (count > self->left) png_error(png, "the file is truncated");
    memcpy(to, self->next, count);
    self->next += count;
    self->left -= count;
}

static int create(decoder *self, const uint8_t *data, size_t count, char *message) {
    *self = (decoder){.next = data, .left = count, .message = message};
    self->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, self, fail, ignore);
    if (self->png) self->info = png_create_info_struct(self->png);
    if (self->info) return 1;
    snprintf(message, CI_MESSAGE, "libpng can't be started (version or memory)");
    return 0;
}

static void destroy(decoder *self) {
    free(self->scratch);
    png_destroy_read_struct(&self->png, &self->info, NULL);
}

// Reads up to the pixels. Call it after setjmp.
static void read_header(decoder *self) {
    png_set_read_fn(self->png, self, read_bytes);
    png_set_user_limits(self->png, INT32_MAX, INT32_MAX);  // the caller has its own
    png_set_chunk_malloc_max(self->png, 8 << 20);
    png_set_chunk_cache_max(self->png, 64);
    // Color profiles and compressed texts are ignored, so don't inflate them. gAMA is ignored too, as in Pillow.
    png_set_keep_unknown_chunks(
        self->png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "iCCP\0zTXt\0iTXt\0tEXt\0eXIf\0sPLT\0", 6);
    png_read_info(self->png, self->info);
}

static int read_size(decoder *self, ci_size *size) {
    if (setjmp(png_jmpbuf(self->png))) return 0;
    read_header(self);
    *size = (ci_size){png_get_image_width(self->png, self->info), png_get_image_height(self->png, self->info)};
    return 1;
}

int ci_png_size(const uint8_t *data, size_t count, ci_size *size, char message[CI_MESSAGE]) {
    decoder self;
    int is_read = create(&self, data, count, message) && read_size(&self, size);
    destroy(&self);
    return is_read;
}

// Samples of 16-bit gray images above 255 become 255: not what one would wish for, but what Pillow does, and therefore
// what the reference processors see. (Of 16-bit colors it takes the upper byte.)
static void convert_gray16(const uint8_t *from, int64_t width, uint8_t *to) {
    for (int64_t x = 0; x < width; x++, from += 2, to += 3) memset(to, from[0] ? 255 : from[1], 3);
}

static int decode(decoder *self, ci_size size, uint8_t *pixels) {
    if (setjmp(png_jmpbuf(self->png))) return 0;
    read_header(self);
    png_structp png = self->png;
    int color = png_get_color_type(png, self->info);
    int is_gray16 = color == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, self->info) == 16;
    if (!is_gray16) {
        if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
        if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
        png_set_strip_16(png);
        png_set_gray_to_rgb(png);
        png_set_strip_alpha(png);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, self->info);
    size_t row_bytes = png_get_rowbytes(png, self->info), sample_bytes = is_gray16 ? 2 : 3;
    if (png_get_image_width(png, self->info) != size.width || png_get_image_height(png, self->info) != size.height ||
        row_bytes != sample_bytes * (size_t)size.width) {
        png_error(png, "unexpected row size");
    }
    // An interlaced image is put together where it lies, pass by pass: all of its rows are needed.
    if (is_gray16 && !(self->scratch = malloc(row_bytes * (passes > 1 ? (size_t)size.height : 1)))) {
        png_error(png, "out of memory");
    }
    for (int pass = 0; pass < passes; pass++) {
        for (int64_t y = 0; y < size.height; y++) {
            png_bytep target = pixels + 3 * size.width * y;
            png_bytep row = !is_gray16 ? target : self->scratch + (passes > 1 ? row_bytes * (size_t)y : 0);
            png_read_row(png, row, NULL);
            if (is_gray16 && pass == passes - 1) convert_gray16(row, size.width, target);
        }
    }
    return 1;
}

int ci_png_decode(const uint8_t *data, size_t count, ci_size size, uint8_t *pixels, char message[CI_MESSAGE]) {
    decoder self;
    int is_decoded = create(&self, data, count, message) && decode(&self, size, pixels);
    destroy(&self);
    return is_decoded;
}
