// JPEG through libjpeg-turbo's libjpeg interface.
#include "CImageCodecs.h"

#if !__has_include(<jpeglib.h>)
#error "libjpeg is not installed: run scripts/install-deps.sh (Debian: apt-get install libjpeg-dev libpng-dev libwebp-dev)"
#endif
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// A progressive file may hold any number of scans, each of which walks all of the pixels for a few bytes. Encoders write
// about ten.
enum { MAX_SCANS = 100 };

typedef struct decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char *message;
} decoder;

static void fail(j_common_ptr info) {
    decoder *self = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    snprintf(self->message, CI_MESSAGE, "%s", text);
    longjmp(self->escape, 1);
}

// Warnings are about data that libjpeg can mend; Pillow doesn't mind them either.
static void ignore(j_common_ptr info) { (void)info; }

static void start(j_decompress_ptr info) { (void)info; }

static boolean fail_at_end(j_decompress_ptr info) {
    decoder *self = info->client_data;
    snprintf(self->message, CI_MESSAGE, "the file is truncated");
    longjmp(self->escape, 1);
}

static void skip(j_decompress_ptr info, long count) {
    struct jpeg_source_mgr *source = info->src;
    if (count <= 0) return;
    if ((size_t)count > source->bytes_in_buffer) fail_at_end(info);
    source->next_input_byte += count;
    source->bytes_in_buffer -= (size_t)count;
}

static void count_scans(j_common_ptr common) {
    decoder *self = common->client_data;
    if (self->info.input_scan_number <= MAX_SCANS) return;
    snprintf(self->message, CI_MESSAGE, "it has more than %d scans", (int)MAX_SCANS);
    longjmp(self->escape, 1);
}

// Zeroed, so that jpeg_destroy_decompress may be called wherever an error strikes.
static void prepare(decoder *self, const uint8_t *data, size_t count, char *message) {
    memset(self, 0, sizeof *self);
    self->message = message;
    self->info.err = jpeg_std_error(&self->errors);
    self->info.client_data = self;
    self->errors.error_exit = fail;
    self->errors.output_message = ignore;
    self->source.next_input_byte = data;
    self->source.bytes_in_buffer = count;
    self->source.init_source = start;
    self->source.fill_input_buffer = fail_at_end;
    self->source.skip_input_data = skip;
    self->source.resync_to_restart = jpeg_resync_to_restart;
    self->source.term_source = start;
    self->progress.progress_monitor = count_scans;
}

// Call it after setjmp.
static void read_header(decoder *self) {
    jpeg_create_decompress(&self->info);
    self->info.client_data = self;
    self->info.src = &self->source;
    self->info.progress = &self->progress;
    jpeg_read_header(&self->info, TRUE);
}

static int read_size(decoder *self, ci_size *size) {
    if (setjmp(self->escape)) return 0;
    read_header(self);
    *size = (ci_size){self->info.image_width, self->info.image_height};
    return 1;
}

int ci_jpeg_size(const uint8_t *data, size_t count, ci_size *size, char message[CI_MESSAGE]) {
    decoder self;
    prepare(&self, data, count, message);
    int is_read = read_size(&self, size);
    jpeg_destroy_decompress(&self.info);
    return is_read;
}

static uint8_t scaled(uint32_t a, uint32_t b) {  // a b / 255, rounded
    uint32_t product = a * b + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

// CMYK samples are stored inverted, as Adobe does: 255 is no ink. Rounded as Pillow rounds.
static void convert_cmyk(const uint8_t *from, int64_t width, uint8_t *to) {
    for (int64_t x = 0; x < width; x++, from += 4, to += 3) {
        for (int i = 0; i < 3; i++) to[i] = (uint8_t)(from[3] - scaled(255 - from[i], from[3]));
    }
}

static int decode(decoder *self, ci_size size, uint8_t *pixels) {
    if (setjmp(self->escape)) return 0;
    read_header(self);
    j_decompress_ptr info = &self->info;
    int is_cmyk = info->num_components == 4;
    info->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(info);
    if (info->output_width != size.width || info->output_height != size.height) ERREXIT(info, JERR_IMAGE_TOO_BIG);
    JSAMPARRAY cmyk = NULL;
    if (is_cmyk) {
        cmyk = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, (JDIMENSION)(4 * size.width), 1);
    }
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = pixels + 3 * size.width * info->output_scanline;
        jpeg_read_scanlines(info, is_cmyk ? cmyk : &row, 1);
        if (is_cmyk) convert_cmyk(cmyk[0], size.width, row);
    }
    return 1;  // what follows the last row is of no interest: no jpeg_finish_decompress
}

int ci_jpeg_decode(const uint8_t *data, size_t count, ci_size size, uint8_t *pixels, char message[CI_MESSAGE]) {
    decoder self;
    prepare(&self, data, count, message);
    int is_decoded = decode(&self, size, pixels);
    jpeg_destroy_decompress(&self.info);
    return is_decoded;
}
