// The loop nest around every linear kernel.
//
// A tile multiplies one or two panels (16 or 32 weight rows) by up to 8 tokens over the whole of K, so its sums stay in
// registers and no partial sum is ever stored. Tokens are cut into blocks whose activations fit the L2 cache; for each
// block the weights are read once, panel by panel, and each panel, which fits L1 or L2 as well, meets all tiles of the
// block. For a single token that is one pass over the weights in the order in which they lie in memory.
#include "internal.h"

// Half of the smallest L2 cache (1 MB) of the CPUs this is tuned for: the rest is for the panel and the output.
enum { ACTIVATION_BLOCK_BYTES = 512 << 10 };

CK_TEMPLATE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

ck_tiles ck_first_tile(const ck_linear *job, int64_t panel_begin, int64_t panel_end, ck_activation format,
                       int64_t panel_step) {
    int64_t tile_bytes = ck_activation_bytes(format, job->columns, CK_TILE);
    int64_t tiles = tile_bytes > 0 ? ACTIVATION_BLOCK_BYTES / tile_bytes : 1;
    int64_t block_tokens = (tiles > 0 ? tiles : 1) * CK_TILE;
    return (ck_tiles){
        // Nowhere yet: the first step goes to the first token of the first panel.
        .panel = panel_begin,
        .panels = smaller(panel_step, panel_end - panel_begin),
        .panel_begin = panel_begin,
        .panel_end = panel_begin < panel_end ? panel_end : panel_begin,
        .panel_step = panel_step,
        .token_end = panel_begin < panel_end ? job->tokens : 0,
        .block_end = smaller(block_tokens, job->tokens),
        .block_tokens = block_tokens,
    };
}

bool ck_next_tile(ck_tiles *at) {
    at->token += at->tokens;
    if (at->token >= at->block_end) {  // next panels, same tokens
        at->token = at->block_begin;
        at->panel += at->panels;
        if (at->panel >= at->panel_end) {  // next tokens, all panels again
            at->token = at->block_begin = at->block_end;
            at->block_end = smaller(at->block_begin + at->block_tokens, at->token_end);
            at->panel = at->panel_begin;
        }
        at->panels = smaller(at->panel_step, at->panel_end - at->panel);
    }
    at->tokens = smaller(CK_TILE, at->block_end - at->token);
    return at->token < at->token_end;
}
