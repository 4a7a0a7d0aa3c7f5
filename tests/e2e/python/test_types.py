"""What the library writes for callers, held against the types of the providers' official SDKs.

Needs SLUICE_WRITTEN, a file of answers: one a line, with the caller's dialect, and whether it is whole or a piece of a stream.
"""

import collections
import json
import os
import sys

import anthropic.types
import openai.types.chat
import openai.types.responses
import pydantic
from google.genai import types as genai

TYPES = {
    ("openai", "whole"): openai.types.chat.ChatCompletion,
    ("openai", "chunk"): openai.types.chat.ChatCompletionChunk,
    ("responses", "whole"): openai.types.responses.Response,
    ("responses", "chunk"): openai.types.responses.ResponseStreamEvent,
    ("anthropic", "whole"): anthropic.types.Message,
    ("anthropic", "chunk"): anthropic.types.RawMessageStreamEvent,
    ("gemini", "whole"): genai.GenerateContentResponse,
    ("gemini", "chunk"): genai.GenerateContentResponse,
}
ADAPTERS = {key: pydantic.TypeAdapter(kind) for key, kind in TYPES.items()}

checked, faults = collections.Counter(), []
with open(os.environ["SLUICE_WRITTEN"], encoding="utf-8") as lines:
    for line in lines:
        answer = json.loads(line)
        key = (answer["dialect"], answer["kind"])
        # Google's types know bytes, which JSON says in base64: not strictly what it is.
        strict = answer["dialect"] != "gemini"
        try:
            ADAPTERS[key].validate_json(json.dumps(answer["body"]), strict=strict)
        except pydantic.ValidationError as error:
            faults.append(f"{key} {answer['case']}: {error}\n{json.dumps(answer['body'])}")
        checked[key] += 1

for key, adapter in ADAPTERS.items():
    assert checked[key] > 10, f"nothing of {key} was written"
    try:
        adapter.validate_json('{"type": 5, "id": 5, "choices": 5, "candidates": 5}', strict=True)
        faults.append(f"{key}: the types check nothing")
    except pydantic.ValidationError:
        pass
print(dict(checked))
print("\n\n".join(faults))
sys.exit(bool(faults))
