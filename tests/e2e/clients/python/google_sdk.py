"""Google's official Python client, as it talks to the Gemini API."""

import json
import uuid

from google import genai
from google.genai import errors, types

from harness import CITY, ECHO, FORBIDDEN, GREETING, KEY, OTHER_KEY, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Client, assert_aborted, contains, equal, post, raises, run

generate = Client("google-genai (Python)", "gemini")


def client_of(key=KEY, **more):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=URL, timeout=20_000, retry_options=types.HttpRetryOptions(attempts=1), **more))


sdk = client_of()
TOOLS = [types.Tool(function_declarations=[types.FunctionDeclaration(name=name, parameters_json_schema=CITY) for name in ("get_weather", "get_time")])]


def get_weather(city: str) -> str:
    """Says the weather of a city."""
    return "sunny 0"


def ask(up, model="chat", client=sdk, contents=GREETING, **more):
    return client.models.generate_content(model=up.model(model), contents=contents, config=types.GenerateContentConfig(automatic_function_calling={"disable": True}, **more))


def chunks_of(up, model="chat", client=sdk, contents=GREETING, **more):
    return client.models.generate_content_stream(model=up.model(model), contents=contents, config=types.GenerateContentConfig(automatic_function_calling={"disable": True}, **more))


def finish_of(answer):
    return answer.candidates[0].finish_reason.name


@generate.feature("chat")
def _(up):
    answer = ask(up, system_instruction="Be brief.", temperature=0.5)
    equal((answer.text, finish_of(answer)), (ECHO, "STOP"))
    assert answer.usage_metadata.total_token_count >= answer.usage_metadata.prompt_token_count + answer.usage_metadata.candidates_token_count > 0, answer.usage_metadata
    # The older address, an alias without a slash, the key in the address.
    equal(ask(up, client=client_of(api_version="v1")).text, ECHO)
    alias = sdk.models.generate_content(model=f"{up.name}-alias", contents=GREETING)
    equal(alias.text, ECHO)
    raw = post(f"/v1beta/models/{up.name}-alias:generateContent?key={KEY}", {"contents": [{"role": "user", "parts": [{"text": GREETING}]}]})
    equal(raw["candidates"][0]["content"]["parts"][0]["text"], ECHO)


@generate.feature("stream")
def _(up):
    whole, chunks = ask(up), list(chunks_of(up))
    equal(("".join(chunk.text or "" for chunk in chunks), finish_of(chunks[-1])), (ECHO, "STOP"))
    last = chunks[-1].usage_metadata
    equal((last.prompt_token_count, last.candidates_token_count, last.total_token_count), (whole.usage_metadata.prompt_token_count, whole.usage_metadata.candidates_token_count, whole.usage_metadata.total_token_count))


def turn(up, stream, model, contents, **more):
    """The parts of an answer, streamed or not."""
    answers = list(chunks_of(up, model, contents=contents, **more)) if stream else [ask(up, model, contents=contents, **more)]
    parts = [part for answer in answers for candidate in answer.candidates or [] if candidate.content for part in candidate.content.parts or []]
    return [part for part in parts if part.text != "" or part.thought_signature], finish_of(answers[-1])


def tool_turns(up, asked, names, stream, model="chat", **more):
    """Both turns of a conversation with tools; the first answer comes back as it was."""
    contents = [types.Content(role="user", parts=[types.Part(text=asked)])]
    first, finish = turn(up, stream, model, contents, tools=TOOLS, **more)
    calls = [part.function_call for part in first if part.function_call]
    equal((finish, [call.name for call in calls], [call.args for call in calls]), ("STOP", names, [{"city": "sample"}] * len(names)))
    results = [types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": f"sunny {index}"})) for index, call in enumerate(calls)]
    second, _ = turn(up, stream, model, [*contents, types.Content(role="model", parts=first), types.Content(role="user", parts=results)], tools=TOOLS, **more)
    said = "".join(part.text or "" for part in second if not part.thought)
    for index in range(len(names)):
        contains(said, f"sunny {index}")
    return first


@generate.feature("tools")
def _(up):
    tool_turns(up, USE_TOOL, ["get_weather"], False)
    # The client calls the function by itself, and leaves the identifier out of the result.
    chat = sdk.chats.create(model=up.model(), config=types.GenerateContentConfig(tools=[get_weather]))
    equal(chat.send_message(USE_TOOL).text, "The tool said: sunny 0")

    if not up.choice:
        return

    def config(mode, *names):
        return types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=mode, allowed_function_names=list(names) or None))
    forced = ask(up, tools=TOOLS, tool_config=config("ANY", "get_time"))
    equal([call.name for call in forced.function_calls], ["get_time"])
    equal(ask(up, contents=USE_TOOL, tools=TOOLS, tool_config=config("NONE")).function_calls, None)


@generate.feature("streamed tools")
def _(up):
    tool_turns(up, USE_TOOL, ["get_weather"], True)


@generate.feature("parallel tools")
def _(up):
    for stream in (False, True):
        tool_turns(up, USE_BOTH, ["get_weather", "get_time"], stream)


@generate.feature("structured output")
def _(up):
    for form in ({"response_schema": types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])}, {"response_json_schema": CITY}):
        answer = ask(up, response_mime_type="application/json", **form)
        equal((json.loads(answer.text), finish_of(answer)), ({"city": "sample"}, "STOP"))


@generate.feature("images")
def _(up):
    import base64
    contents = [types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png"), types.Part(text="What is it?")]
    contains(ask(up, contents=contents).text, SEEN)


@generate.feature("thinking")
def _(up):
    more = {"thinking_config": types.ThinkingConfig(include_thoughts=True, thinking_budget=1024), "max_output_tokens": 4000} if up.thoughts else {}
    for stream in (False, True):
        first = tool_turns(up, USE_TOOL, ["get_weather"], stream, "thinking", **more)
        if up.thoughts:
            assert any(part.thought for part in first), first


@generate.feature("errors")
def _(up):
    def status(code, name):
        return lambda error: equal((error.code, error.status), (code, name))
    raises(errors.ClientError, lambda: ask(up, client=client_of("wrong")), lambda error: equal(error.code in (400, 401), True))
    raises(errors.ClientError, lambda: ask(up, client=client_of(OTHER_KEY, headers=FORBIDDEN)), status(403, "PERMISSION_DENIED"))
    raises(errors.ClientError, lambda: ask(up, "unknown"), status(404, "NOT_FOUND"))
    wrong = client_of(extra_body={"generationConfig": {"temperature": "hot"}})
    raises(errors.ClientError, lambda: ask(up, client=wrong), lambda error: (equal((error.code, error.status), (400, "INVALID_ARGUMENT")), contains(error.message, "temperature")))
    raises(errors.ClientError, lambda: ask(up, "fault-context-length"), status(400, "INVALID_ARGUMENT"))
    limited = raises(errors.ClientError, lambda: ask(up, "fault-429-retry-after-7"), status(429, "RESOURCE_EXHAUSTED"))
    contains(json.dumps(limited.details), '"retryDelay": "7s"')
    raises(errors.ServerError, lambda: ask(up, "fault-500"))
    raises(errors.ServerError, lambda: ask(up, "fault-html"))


@generate.feature("broken streams")
def _(up):
    for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
        def read(model=model):
            chunks = list(chunks_of(up, model, contents=WORDS))
            assert not any(chunk.candidates and chunk.candidates[0].finish_reason for chunk in chunks), "a broken stream ended as a whole one"
            return chunks
        raises((errors.APIError, errors.UnknownApiResponseError), read)
    raises(errors.ServerError, lambda: list(chunks_of(up, "fault-500")))


@generate.feature("cancellation")
def _(up):
    nonce = f"{uuid.uuid4()} {WORDS}"
    stream = chunks_of(up, "slow-chunks-100", contents=nonce)
    for chunk in stream:
        if chunk.text:
            break
    stream.close()
    assert_aborted(nonce)


@generate.feature("token counting")
def _(up):
    count = sdk.models.count_tokens(model=up.model(), contents=GREETING)
    assert count.total_tokens > 0, count


@generate.feature("models")
def _(up):
    names = [model.name for model in sdk.models.list()]
    assert "models/sandbox/echo" in names, names
    equal(sdk.models.get(model="sandbox/echo").name, "models/sandbox/echo")


@generate.feature("embeddings")
def _(up):
    for contents in ("a", ["a", "b"]):
        answer = sdk.models.embed_content(model=up.model("embed"), contents=contents, config=types.EmbedContentConfig(output_dimensionality=up.dimensions))
        equal([len(one.values) for one in answer.embeddings], [up.dimensions] * len(contents))


@generate.feature("asynchronous")
async def _(up):
    equal((await sdk.aio.models.generate_content(model=up.model(), contents=GREETING)).text, ECHO)
    text = ""
    async for chunk in await sdk.aio.models.generate_content_stream(model=up.model(), contents=GREETING):
        text += chunk.text or ""
    equal(text, ECHO)


run((generate, "google-genai"))
