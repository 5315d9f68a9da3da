"""What requests need beyond their schemas: few tokens, so that the run ends, and fields that agree with each other.

Loaded by schemathesis (openapi_fuzz.py). Only requests that are meant to be valid are changed, but for the number of tokens.
"""

import json
import os

import jsonschema
import schemathesis

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["a"], "additionalProperties": False}
FEW = 3
DESCRIPTION = json.loads(os.environ["OPENAPI"])
VALIDATORS = {
    path: jsonschema.Draft202012Validator(
        route["post"]["requestBody"]["content"]["application/json"]["schema"] | {"components": DESCRIPTION["components"]})
    for path, route in DESCRIPTION["paths"].items() if "requestBody" in route.get("post", {})
}
NUMBERS_OF_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
STRUCTURES = ("response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "json_schema", "grammar")


CONTEXT = DESCRIPTION["components"]["schemas"]["AnthropicRequest"]["properties"]["max_tokens"]["maximum"]


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def few_tokens(body, path):
    """Lowers numbers that would take long, where they are valid."""
    for holder in (body, body.get("options")):
        if isinstance(holder, dict):
            for name in NUMBERS_OF_TOKENS:
                if is_integer(holder.get(name)) and FEW < holder[name] <= CONTEXT:
                    holder[name] = FEW
            for name in ("n", "best_of"):
                if is_integer(holder.get(name)) and 2 < holder[name] <= 128:
                    holder[name] = 2
    if path in ("/v1/chat/completions",) and not any(name in body for name in NUMBERS_OF_TOKENS):
        body["max_tokens"] = FEW
    if path == "/v1/responses" and "max_output_tokens" not in body:
        body["max_output_tokens"] = FEW
    if path.startswith("/api/") and path != "/api/show":
        if body.get("options") is None:
            body["options"] = {"num_predict": FEW}
        elif isinstance(body["options"], dict) and "num_predict" not in body["options"]:
            body["options"]["num_predict"] = FEW


def agree(body, path):
    """Makes the fields of a valid request agree, in the ways that schemas do not state."""
    for holder in (body, body.get("options")):
        if not isinstance(holder, dict):
            continue
        for name in NUMBERS_OF_TOKENS:
            if name in holder and (holder[name] is None or is_integer(holder[name]) and holder[name] < (0 if name == "num_predict" else 1)
                                   or name == "num_predict" and holder[name] is not None and holder[name] <= 0):
                holder[name] = FEW
            if isinstance(holder.get(name), float):
                holder[name] = FEW
        if holder.get("min_tokens"):
            holder["min_tokens"] = 1
        if holder.get("logit_bias"):
            holder["logit_bias"] = {str(sum(map(ord, k)) % 49152): v for k, v in holder["logit_bias"].items()}
    if "max_tokens" in body and "max_completion_tokens" in body:
        del body["max_completion_tokens"]
    if path == "/v1/chat/completions" and body.get("min_tokens") and not (body.get("max_tokens") or body.get("max_completion_tokens")):
        body["max_tokens"] = FEW
    if not body.get("stream"):
        body.pop("stream_options", None)
    else:
        for name in ("best_of", "prompt_logprobs"):
            body.pop(name, None)
    if body.get("best_of") is not None:
        body["best_of"] = max(body["best_of"], body.get("n") or 1)
    if body.get("top_logprobs") is not None and path == "/v1/chat/completions":
        body["logprobs"] = True
    if path == "/v1/completions":
        if body.get("echo") and body.get("logprobs") is not None:
            body.pop("prompt_logprobs", None)
        prompt = body.get("prompt")
        if isinstance(prompt, list):
            # Prompt, answer and context together have a bound; long prompts take long.
            body["prompt"] = [part[:32] if isinstance(part, list) else part for part in prompt[:3 if isinstance(prompt[0], (str, list)) else 32]]
    structures = [name for name in STRUCTURES if body.get(name) is not None]
    for name in structures:
        if name == "response_format":
            form = body[name]
            if form["type"] == "json_object" and "schema" in form:
                form["schema"] = SCHEMA
            if form["type"] == "json_schema":
                form["json_schema"]["schema"] = SCHEMA
        elif name in ("guided_json", "json_schema"):
            body[name] = SCHEMA
        elif name == "structured_outputs":
            body[name] = {"choice": ["yes", "no"]}
        elif name == "guided_regex":
            body[name] = "[a-z]{1,4}"
        elif name in ("guided_grammar", "grammar"):
            body[name] = 'root ::= "a" | "b"'
    for name in structures[1:]:
        del body[name]
    if path == "/v1/responses" and isinstance(body.get("text"), dict) and isinstance(body["text"].get("format"), dict):
        if body["text"]["format"].get("type") == "json_schema":
            body["text"]["format"]["schema"] = SCHEMA
    output = body.get("output_config")
    if path == "/v1/messages" and isinstance(output, dict) and isinstance(output.get("format"), dict):
        output["format"]["schema"] = SCHEMA
    if isinstance(body.get("format"), (dict, bool)):
        body["format"] = SCHEMA
    agree_tools(body, path)
    if path in ("/v1/chat/completions", "/v1/completions", "/api/chat", "/api/generate"):
        held = any(body.get(name) is not None for name in STRUCTURES) or body.get("format") not in (None, "") or body.get("tools")
        if held:
            for name in ("allowed_token_ids", "ignore_eos", "min_tokens"):
                body.pop(name, None)
    agree_messages(body, path)
    if path == "/api/generate" and body.get("raw"):
        body.pop("system", None)
        body["prompt"] = body.get("prompt") or "x"
    for name in ("input", "prompt"):
        if path in ("/v1/embeddings", "/api/embed") and isinstance(body.get(name), list):
            body[name] = [part[:16] if isinstance(part, list) else part for part in body[name][:8]]
    if path == "/tokenize" and isinstance(body.get("prompt"), str):
        body.pop("messages", None)


def name_of(tool):
    return tool["function"]["name"] if "function" in tool else tool["name"]


def agree_tools(body, path):
    tools = body.get("tools")
    if isinstance(tools, list):
        seen = {}
        for tool in tools:
            seen.setdefault(name_of(tool), tool)
            holder = tool.get("function", tool)
            for key in ("parameters", "input_schema"):
                if holder.get(key) is not None:
                    holder[key] = SCHEMA
        body["tools"] = list(seen.values())
    choice = body.get("tool_choice")
    if not body.get("tools"):
        if choice not in (None, "none", "auto"):
            body.pop("tool_choice")
        return
    name = name_of(body["tools"][0])
    if isinstance(choice, dict):
        if "function" in choice:
            choice["function"]["name"] = name
        elif "name" in choice:
            choice["name"] = name
    if choice in ("required", "any") or isinstance(choice, dict):
        for field in STRUCTURES + ("format", "output_config"):
            body.pop(field, None)
        if isinstance(body.get("text"), dict):
            body["text"].pop("format", None)


def agree_messages(body, path):
    if isinstance(body.get("messages"), list):
        body["messages"] = body["messages"][:20]
    for message in body.get("messages") or []:
        for call in message.get("tool_calls") or []:
            if isinstance(call["function"].get("arguments"), str):
                call["function"]["arguments"] = '{"a": 1}'
    items = body.get("input") if path == "/v1/responses" else None
    for item in items if isinstance(items, list) else []:
        if item.get("type") == "function_call" and isinstance(item.get("arguments"), str):
            item["arguments"] = '{"a": 1}'
    if body.get("continue_final_message"):
        body.pop("add_generation_prompt", None)
        body["messages"] = (body.get("messages") or []) + [{"role": "assistant", "content": "Well,"}]


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not isinstance(body, dict):
        return
    path = case.operation.path
    if path in VALIDATORS and VALIDATORS[path].is_valid(body):
        agree(body, path)
    few_tokens(body, path)
