"""OpenAI's official Python client: Chat Completions and Responses."""

import json
import uuid

import openai
from openai import AsyncOpenAI, OpenAI

from harness import CITY, ECHO, FORBIDDEN, GREETING, KEY, OTHER_KEY, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Client, assert_aborted, contains, equal, raises, run

chat = Client("openai (Python), Chat Completions", "openai")
responses = Client("openai (Python), Responses", "responses")
sdk = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=20)
HELLO = [{"role": "user", "content": GREETING}]
TOOLS = [{"type": "function", "function": {"name": name, "parameters": CITY, "strict": True}} for name in ("get_weather", "get_time")]
FLAT = [{"type": "function", "name": one["function"]["name"], "parameters": CITY, "strict": True} for one in TOOLS]
FORMAT = {"type": "json_schema", "name": "place", "strict": True, "schema": CITY}


def ask(up, model="chat", client=sdk, **more):
    return client.chat.completions.create(**{"model": up.model(model), "messages": HELLO, **more})


def gather(stream):
    """The text, the calls and the rest of a stream of chunks."""
    text, calls, finish, usage = "", {}, None, None
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                one = calls.setdefault(call.index, {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": ""}, **(call.model_extra or {})})
                one["function"]["arguments"] += call.function.arguments or ""
        usage = chunk.usage or usage
    return text, [calls[index] for index in sorted(calls)], finish, usage


@chat.feature("chat")
def _(up):
    answer = ask(up, messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    equal(answer.choices[0].message.content, ECHO)
    equal(answer.choices[0].finish_reason, "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer.usage


@chat.feature("stream")
def _(up):
    whole = ask(up)
    text, _, finish, usage = gather(ask(up, stream=True, stream_options={"include_usage": True}))
    equal((text, finish), (ECHO, "stop"))
    equal((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens))


def results(calls):
    return [{"role": "tool", "tool_call_id": call["id"], "content": f"sunny {index}"} for index, call in enumerate(calls)]


@chat.feature("tools")
def _(up):
    messages = [{"role": "user", "content": USE_TOOL}]
    first = ask(up, messages=messages, tools=TOOLS).choices[0]
    equal(first.finish_reason, "tool_calls")
    call = first.message.tool_calls[0]
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "sample"}))
    second = ask(up, messages=[*messages, first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}], tools=TOOLS).choices[0]
    equal((second.message.content, second.finish_reason), ("The tool said: sunny", "stop"))
    if not up.choice:
        return
    forced = ask(up, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}}).choices[0]
    equal([call.function.name for call in forced.message.tool_calls], ["get_time"])
    assert not ask(up, messages=messages, tools=TOOLS, tool_choice="none").choices[0].message.tool_calls


@chat.feature("streamed tools")
def _(up):
    messages = [{"role": "user", "content": USE_TOOL}]
    text, calls, finish, _ = gather(ask(up, messages=messages, tools=TOOLS, stream=True))
    equal((finish, [json.loads(call["function"]["arguments"]) for call in calls]), ("tool_calls", [{"city": "sample"}]))
    messages += [{"role": "assistant", "content": text or None, "tool_calls": calls}, *results(calls)]
    equal(gather(ask(up, messages=messages, tools=TOOLS, stream=True))[0], "The tool said: sunny 0")


@chat.feature("parallel tools")
def _(up):
    for stream in (False, True):
        messages = [{"role": "user", "content": USE_BOTH}]
        answer = ask(up, messages=messages, tools=TOOLS, stream=stream)
        if stream:
            text, calls, _, _ = gather(answer)
            said = {"role": "assistant", "content": text or None, "tool_calls": calls}
        else:
            said = answer.choices[0].message.model_dump(exclude_none=True)
            calls = said["tool_calls"]
        equal([call["function"]["name"] for call in calls], ["get_weather", "get_time"])
        equal(len({call["id"] for call in calls}), 2)
        # Results in another order than the calls.
        second = ask(up, messages=[*messages, said, *reversed(results(calls))], tools=TOOLS)
        contains(second.choices[0].message.content, "sunny 0")
        contains(second.choices[0].message.content, "sunny 1")


@chat.feature("structured output")
def _(up):
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": CITY}}
    answer = ask(up, response_format=form).choices[0]
    equal((json.loads(answer.message.content), answer.finish_reason), ({"city": "sample"}, "stop"))
    text, _, finish, _ = gather(ask(up, response_format=form, stream=True))
    equal((json.loads(text), finish), ({"city": "sample"}, "stop"))


@chat.feature("images")
def _(up):
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
    contains(ask(up, messages=[{"role": "user", "content": content}]).choices[0].message.content, SEEN)


@chat.feature("thinking")
def _(up):
    for stream in (False, True):
        messages = [{"role": "user", "content": USE_TOOL}]
        more = {"tools": TOOLS, "reasoning_effort": "low", "max_completion_tokens": 4000} if up.thoughts else {"tools": TOOLS}
        answer = ask(up, "thinking", messages=messages, stream=stream, **more)
        if stream:
            text, calls, _, _ = gather(answer)
            said = {"role": "assistant", "content": text or None, "tool_calls": calls}
        else:
            said = answer.choices[0].message.model_dump(exclude_none=True)
            calls = said["tool_calls"]
        messages += [said, *results(calls)]
        equal(ask(up, "thinking", messages=messages, **more).choices[0].message.content, "The tool said: sunny 0")
        # A client that keeps nothing but what the standard knows.
        bare = {"role": "assistant", "content": None, "tool_calls": [{key: call[key] for key in ("id", "type", "function")} for call in calls]}
        equal(ask(up, "thinking", messages=[messages[0], bare, *results(calls)], **more).choices[0].message.content, "The tool said: sunny 0")


@chat.feature("errors")
def _(up):
    errors(up, lambda **more: ask(up, **more), {"temperature": "hot"}, "temperature")


def errors(up, ask, wrong, param):
    raises(openai.AuthenticationError, lambda: ask(client=sdk.with_options(api_key="wrong")), lambda error: equal(error.status_code, 401))
    raises(openai.PermissionDeniedError, lambda: ask(client=sdk.with_options(api_key=OTHER_KEY, default_headers=FORBIDDEN)))
    raises(openai.NotFoundError, lambda: ask(model="unknown"))
    raises(openai.BadRequestError, lambda: ask(extra_body=wrong), lambda error: equal(error.param, param))
    raises(openai.BadRequestError, lambda: ask(model="fault-context-length"), lambda error: equal(error.code, "context_length_exceeded"))
    raises(openai.RateLimitError, lambda: ask(model="fault-429-retry-after-7"), lambda error: equal(error.response.headers.get("retry-after"), "7"))
    raises(openai.InternalServerError, lambda: ask(model="fault-500"))
    raises(openai.InternalServerError, lambda: ask(model="fault-html"), lambda error: contains(json.dumps(error.body), "message"))


@chat.feature("broken streams")
def _(up):
    for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
        def read(model=model):
            return [chunk for chunk in ask(up, model, messages=[{"role": "user", "content": WORDS}], stream=True)]
        raises(openai.APIError, read)
    raises(openai.InternalServerError, lambda: ask(up, "fault-500", stream=True))


@chat.feature("cancellation")
def _(up):
    nonce = f"{uuid.uuid4()} {WORDS}"
    stream = ask(up, "slow-chunks-100", messages=[{"role": "user", "content": nonce}], stream=True)
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    stream.close()
    assert_aborted(nonce)


@chat.feature("models")
def _(up):
    names = [model.id for model in sdk.models.list()]
    assert "sandbox/echo" in names, names
    equal(sdk.models.retrieve("sandbox/echo").id, "sandbox/echo")


@chat.feature("embeddings")
def _(up):
    for form in ({}, {"encoding_format": "float"}):
        answer = sdk.embeddings.create(model=up.model("embed"), input=["a", "b"], dimensions=up.dimensions, **form)
        equal([len(one.embedding) for one in answer.data], [up.dimensions] * 2)


@chat.feature("asynchronous")
async def _(up):
    async with AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
        answer = await client.chat.completions.create(model=up.model(), messages=HELLO)
        equal(answer.choices[0].message.content, ECHO)
        async with client.chat.completions.stream(model=up.model(), messages=HELLO) as stream:
            equal((await stream.get_final_completion()).choices[0].message.content, ECHO)


chat.absent("Chat Completions have no address for it", "token counting")


def respond(up=None, model="chat", client=sdk, **more):
    return client.responses.create(**{"model": up.model(model), "input": GREETING, "store": False, **more})


@responses.feature("chat")
def _(up):
    answer = respond(up, instructions="Be brief.")
    equal((answer.output_text, answer.status), (ECHO, "completed"))
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0, answer.usage


@responses.feature("stream")
def _(up):
    text, last, numbers = "", None, []
    for event in respond(up, stream=True):
        numbers.append(event.sequence_number)
        text += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    equal((text, last.type, last.response.output_text), (ECHO, "response.completed", ECHO))
    equal(numbers, list(range(len(numbers))))
    whole = respond(up)
    equal((last.response.usage.input_tokens, last.response.usage.output_tokens), (whole.usage.input_tokens, whole.usage.output_tokens))
    with sdk.responses.stream(model=up.model(), input=GREETING) as stream:
        equal(stream.get_final_response().output_text, ECHO)


def called(answer):
    return [item for item in answer.output if item.type == "function_call"]


def outputs(calls):
    return [{"type": "function_call_output", "call_id": call.call_id, "output": f"sunny {index}"} for index, call in enumerate(calls)]


def finished(up, stream, **more):
    if not stream:
        return respond(up, **more)
    with sdk.responses.stream(**{"model": up.model(more.pop("model", "chat")), "store": False, **more}) as events:
        return events.get_final_response()


def tool_turns(up, asked, names, stream, **more):
    """Both turns of a conversation with tools; the first answer comes back as it was."""
    before = [{"role": "user", "content": asked}]
    first = finished(up, stream, input=before, tools=FLAT, **more)
    calls = called(first)
    equal([call.name for call in calls], names)
    equal([json.loads(call.arguments) for call in calls], [{"city": "sample"}] * len(names))
    second = finished(up, stream, input=[*before, *[item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output], *outputs(calls)], tools=FLAT, **more)
    for index in range(len(names)):
        contains(second.output_text, f"sunny {index}")
    return first


@responses.feature("tools")
def _(up):
    tool_turns(up, USE_TOOL, ["get_weather"], False)
    if not up.choice:
        return
    forced = respond(up, tools=FLAT, tool_choice={"type": "function", "name": "get_time"})
    equal([call.name for call in called(forced)], ["get_time"])
    equal(called(respond(up, input=USE_TOOL, tools=FLAT, tool_choice="none")), [])


@responses.feature("streamed tools")
def _(up):
    tool_turns(up, USE_TOOL, ["get_weather"], True)


@responses.feature("parallel tools")
def _(up):
    for stream in (False, True):
        tool_turns(up, USE_BOTH, ["get_weather", "get_time"], stream)


@responses.feature("structured output")
def _(up):
    equal(json.loads(respond(up, text={"format": FORMAT}).output_text), {"city": "sample"})


@responses.feature("images")
def _(up):
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"}]
    contains(respond(up, input=[{"role": "user", "content": content}]).output_text, SEEN)


@responses.feature("thinking")
def _(up):
    more = {"include": ["reasoning.encrypted_content"], **({"reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 4000} if up.thoughts else {})}
    for stream in (False, True):
        first = tool_turns(up, USE_TOOL, ["get_weather"], stream, model="thinking", **more)
        if up.thoughts:
            assert any(item.type == "reasoning" for item in first.output), [item.type for item in first.output]


@responses.feature("errors")
def _(up):
    errors(up, lambda **more: respond(up, **more), {"temperature": "hot"}, "temperature")


@responses.feature("broken streams")
def _(up):
    for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
        def read(model=model):
            events = [event for event in respond(up, model, input=WORDS, stream=True)]
            assert not any(event.type == "response.completed" for event in events), "a broken stream ended as a whole one"
            if events[-1].type in ("error", "response.failed"):
                raise BrokenPipeError("the stream says that it broke")
            return events
        raises((openai.APIError, BrokenPipeError), read)


@responses.feature("cancellation")
def _(up):
    nonce = f"{uuid.uuid4()} {WORDS}"
    stream = respond(up, "slow-chunks-100", input=nonce, stream=True)
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    stream.close()
    assert_aborted(nonce)


@responses.feature("asynchronous")
async def _(up):
    async with AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
        equal((await client.responses.create(model=up.model(), input=GREETING)).output_text, ECHO)


responses.absent("the same call as with Chat Completions", "models", "embeddings")
responses.absent("the gateway keeps no state and counts no tokens for Responses", "token counting")

run((chat, "openai"), (responses, "openai"))
