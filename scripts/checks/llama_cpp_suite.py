"""llama.cpp's own server tests against `martlet serve`, through a stand-in that takes llama-server's flags.

    scripts/checks/setup.sh && .build/checks/bin/python scripts/checks/llama_cpp_suite.py FOLDER [FILE…]

FOLDER is `tools/server/tests` of llama.cpp's source (the PyPI source distribution of llama-cpp-python has it); it is copied to a
temporary folder, nothing of it is kept. Paths without /v1 are sent to those with it, and texts are not compared with those of
the suite's own model, which is not this one: docs/serving/llama-cpp-suite.md says what is left. Prints a line for each test.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = ["basic", "chat_completion", "compat_anthropic", "compat_oai_responses", "completion", "ctx_shift", "embedding", "ignore_eos",
         "metrics", "security", "stream", "template", "tokenize", "tool_call"]

# Why a test can't pass here, by a regular expression of its name. What fails and is not listed is a failure.
OWN_ROUTE = "a route of llama.cpp's own"
OWN_MODEL = "compares with texts or token counts of the suite's own model"
OWN_TEMPLATE = "names a template that the source distribution does not have"
WEAK_MODEL = "needs a model that calls functions by itself"
NOT_APPLICABLE = [
    (r"basic::test_server_(props|slots)", OWN_ROUTE), (r"basic::test_server_multiple_addresses", "a server listens on one address"),
    (r"basic::test_server_model(s|_aliases_and_tags)", "the stand-in serves the model by all names that the suite uses"),
    (r"basic::test_load_split_model", "fetches a model"),
    (r"completion::test_(completion_with_openai_library|completion_unified|json_prompt_mtm|completion_stream_with)", OWN_MODEL),
    (r"completion::", OWN_ROUTE), (r"(ctx_shift|ignore_eos)::", OWN_ROUTE),
    (r"chat_completion::test_chat_completion(_cached_tokens|_with_openai_library|\[)", OWN_MODEL),
    (r"chat_completion::test_(chat_completion_stream|logprobs_stream)", "wants null as the first delta's content; OpenAI's is empty"),
    (r"chat_completion::test_(chat_template|verbose_debug)", "reads llama.cpp's debugging output"),
    (r"chat_completion::test_apply_chat_template", "names a template that llama.cpp has built in"),
    (r"chat_completion::test_invalid_chat_completion_req\[messages7\]", "llama.cpp's rule for prefilled messages"),
    (r"chat_completion::test_(chat_completion_with_timings_per_token|return_progress)", "fields of llama.cpp's own answers"),
    (r"chat_completion::test_logit_bias", "biases as a list of pairs"), (r"chat_completion::test_context_size_exceeded", "the name of an error"),
    (r"chat_completion::test_chat_completions_token_count", OWN_ROUTE),
    (r"compat_anthropic::test_anthropic_(vision|tool_result_with_image|thinking_with)", "fetches a model"),
    (r"compat_anthropic::test_anthropic_empty_messages", "wants an answer to no message"),
    (r"compat_anthropic::test_anthropic_thinking", "needs a model that thinks"),
    (r"compat_oai_responses::test_responses_stream_with_llama_telemetry", "fields of llama.cpp's own answers"),
    (r"embedding::test_embedding_(pooling_none|multiple_with_fa|single|multiple$|content|mixed|pooling_mean|usage)", OWN_ROUTE),
    (r"embedding::test_embedding_error_prompt_too_long", "the words of an error"),
    (r"metrics::", "llama.cpp's names of metrics, and fields of its own answers"), (r"stream::", "streams that are taken up again"),
    (r"security::test_(incorrect|correct|openai_library_correct)_api_key", "the name of an error, and a route of llama.cpp's own"),
    (r"security::test_(cors|access_static|local_media)", "allows any origin, serves files and fetches media; here nothing is allowed that is not listed"),
    (r"template::test_reasoning", "a flag for thinking; here the request says so (chat_template_kwargs)"),
    (r"template::", OWN_TEMPLATE), (r"tokenize::", "vLLM's fields are served, not llama.cpp's"), (r"tool_call::", WEAK_MODEL),
]

CONFTEST = '''

import utils as _utils

# The model is another one: what it says can't be compared, but where a structure holds it.
_match = _utils.match_regex
_HELD = ("\\"42\\"", "[ -3000 ]", "\\"foooooo\\"", "(\\\\{|John)+", "a{5,5}")
_utils.match_regex = lambda regex, text: _match(regex, text) if regex in _HELD else isinstance(text, str)
_utils.ServerPreset.load_all = staticmethod(lambda: None)
_V1 = ("/chat/completions", "/completions", "/models", "/embeddings")
_make_url = _utils.ServerProcess.make_url
# llama-server's /health is 503 while the model is loaded, which is /ready here.
_path = lambda path: "/ready" if path == "/health" else "/v1" + path if path.startswith(_V1) else path
_utils.ServerProcess.make_url = lambda self, path, host=None: _make_url(self, _path(path), host)
'''


def main():
    source = Path(sys.argv[1])
    files = sys.argv[2:] or FILES
    with tempfile.TemporaryDirectory() as folder:
        tests = Path(folder) / "tools/server/tests"
        shutil.copytree(source, tests, ignore=shutil.ignore_patterns("tmp", "__pycache__"))
        templates = source.resolve().parents[2] / "models/templates"
        if templates.is_dir():
            shutil.copytree(templates, Path(folder) / "models/templates")
        (tests / "wget.py").write_text("")  # Nothing is downloaded.
        conftest = (tests / "conftest.py").read_text()
        (tests / "conftest.py").write_text("import sys; sys.path.insert(0, '.')\n" + conftest.replace("from utils import *", "from utils import *" + CONFTEST, 1))
        shim = Path(folder) / "llama-server"
        shim.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{HERE / 'llama_server_shim.py'}' \"$@\"\n")
        shim.chmod(0o755)
        environment = os.environ | {"LLAMA_SERVER_BIN_PATH": str(shim), "PYTHONPATH": str(tests), "PORT": os.environ.get("PORT", "18080")}
        command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=line", "-p", "no:cacheprovider", "-x" if os.environ.get("STOP") else "-q",
                   *(f"unit/test_{f}.py" for f in files)]
        done = subprocess.run(command, cwd=tests, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if os.environ.get("LOG"):
            Path(os.environ["LOG"]).write_text(done.stdout)
    outcomes = {}
    for line in done.stdout.splitlines():
        found = re.match(r"(PASSED|FAILED|SKIPPED|ERROR) (?:\[\d+\] )?unit/test_(\w+)\.py(?:::(\S+))?(.*)", line)
        if found:
            name = f"{found[2]}::{found[3] or ''}"
            reason = next((why for pattern, why in NOT_APPLICABLE if re.match(pattern, name)), None)
            outcome = found[1].lower()
            if outcome in ("failed", "error") and reason:
                outcome = "not applicable"
            outcomes.setdefault(found[2], []).append((outcome, reason))
            print(f"{outcome:15}{name}" + (f": {reason}" if outcome == "not applicable" else found[4][:200] if outcome == "failed" else ""))
    for file, results in outcomes.items():
        print(f"{file}: " + ", ".join(f"{v} {k}" for k, v in sorted(Counter(r[0] for r in results).items())))
    total = Counter(r[0] for results in outcomes.values() for r in results)
    print("llama_cpp_suite: " + ", ".join(f"{v} {k}" for k, v in sorted(total.items())))
    sys.exit(1 if total["failed"] or total["error"] or not total["passed"] else 0)


if __name__ == "__main__":
    main()
