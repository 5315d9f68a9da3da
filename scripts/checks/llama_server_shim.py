#!/usr/bin/env python3
"""Stands in for `llama-server`: takes its flags, and starts `martlet serve` with what they mean here.

Used by llama_cpp_suite.py. Flags without a counterpart are dropped: what they change, tests then show.
"""

import os
import sys

from server import BINARY, MODEL

WITH_VALUE = {
    "--host": "--host", "--port": "--port", "--ctx-size": "--context", "--parallel": "--max-requests", "--alias": "--served-model-name",
    "--api-key": "--api-key", "--threads": "--threads", "--batch-size": "--max-batched-tokens", "--cors-origins": "--cors-origin",
    "--chat-template-file": "--chat-template", "--pooling": "--pooling",
}
DROPPED_WITH_VALUE = {
    "--temp", "--seed", "--model", "--model-url", "--hf-repo", "--hf-file", "--ubatch-size", "--n-gpu-layers", "--n-predict", "--slot-save-path",
    "--tags", "-ctk", "-ctv", "-fa", "--grp-attn-n", "--grp-attn-w", "--chat-template", "--reasoning-format", "--reasoning", "--cache-ram",
    "--model-draft", "--spec-type", "--spec-draft-n-max", "--spec-draft-n-min", "--spec-synth-len", "--spec-synth-rates", "--media-path",
    "--sleep-idle-seconds", "--lora", "--models-dir", "--models-max", "--models-preset", "--mmproj-url", "--tools", "--tools-runtime",
    "--mcp-servers-config", "--mcp-servers-json",
}


def translate(arguments):
    result, names = [], []
    position = 0
    while position < len(arguments):
        flag = arguments[position]
        value = arguments[position + 1] if position + 1 < len(arguments) else ""
        if flag in WITH_VALUE:
            if flag == "--batch-size":
                value = str(max(int(value), 64))
            if flag == "--alias":
                names.append(value)
            else:
                result += [WITH_VALUE[flag], value]
            position += 2
        elif flag == "--no-ui":
            result.append("--no-web-page")
            position += 1
        elif flag in DROPPED_WITH_VALUE:
            position += 2
        else:
            position += 1
    # The suite's clients call the model by any name.
    for name in names + ["tinyllama-2", "gpt-3.5-turbo-instruct", "davinci-002", "gpt-4.1", "test", "dummy", "codellama70b",
                         "text-embedding-3-small"]:
        result += ["--served-model-name", name]
    return result


if __name__ == "__main__":
    os.execv(BINARY, [BINARY, "serve", MODEL, *translate(sys.argv[1:])])
