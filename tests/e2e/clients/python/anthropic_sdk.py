"""Anthropic's official Python client."""

import json
import uuid

import anthropic
from anthropic import Anthropic, AsyncAnthropic

from harness import CITY, ECHO, FORBIDDEN, GREETING, KEY, OTHER_KEY, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Client, assert_aborted, contains, equal, post, raises, run

messages = Client("anthropic (Python)", "anthropic")
sdk = Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
HELLO = [{"role": "user", "content": GREETING}]
TOOLS = [{"name": name, "input_schema": CITY} for name in ("get_weather", "get_time")]


def ask(up, model="chat", client=sdk, **more):
    return client.messages.create(**{"model": up.model(model), "max_tokens": 2000, "messages": HELLO, **more})


def finished(up, stream, model="chat", **more):
    """The whole answer, streamed or not."""
    if not stream:
        return ask(up, model, **more)
    with sdk.messages.stream(**{"model": up.model(model), "max_tokens": 2000, "messages": HELLO, **more}) as events:
        return events.get_final_message()


@anthropic.beta_tool
def get_weather(city: str) -> str:
    """Says the weather of a city."""
    return "sunny 0"


def text_of(answer):
    return "".join(block.text for block in answer.content if block.type == "text")


@messages.feature("chat")
def _(up):
    answer = ask(up, system="Be brief.")
    equal((text_of(answer), answer.stop_reason, answer.role, answer.type), (ECHO, "end_turn", "assistant", "message"))
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage
    equal(text_of(ask(up, client=Anthropic(base_url=URL, auth_token=KEY, max_retries=0))), ECHO)
    # As older clients do it.
    older = post("/v1/messages", {"model": up.model(), "max_tokens": 2000, "messages": HELLO}, {"x-api-key": KEY, "anthropic-version": "2023-06-01"})
    equal([block["text"] for block in older["content"]], [ECHO])


@messages.feature("stream")
def _(up):
    whole, streamed = ask(up), finished(up, True)
    equal((text_of(streamed), streamed.stop_reason), (ECHO, "end_turn"))
    equal((streamed.usage.input_tokens, streamed.usage.output_tokens), (whole.usage.input_tokens, whole.usage.output_tokens))
    kinds = [event.type for event in ask(up, stream=True)]
    equal((kinds[0], kinds[-2:]), ("message_start", ["message_delta", "message_stop"]))


def called(answer):
    return [block for block in answer.content if block.type == "tool_use"]


def tool_turns(up, asked, names, stream, model="chat", **more):
    """Both turns of a conversation with tools; the first answer comes back as it was."""
    turns = [{"role": "user", "content": asked}]
    first = finished(up, stream, model, messages=turns, tools=TOOLS, **more)
    calls = called(first)
    equal((first.stop_reason, [call.name for call in calls], [call.input for call in calls]), ("tool_use", names, [{"city": "sample"}] * len(names)))
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"sunny {index}"} for index, call in enumerate(calls)]
    said = [block.model_dump(exclude_none=True, exclude={"parsed_output", "caller"}) for block in first.content]
    second = finished(up, stream, model, messages=[*turns, {"role": "assistant", "content": said}, {"role": "user", "content": results}], tools=TOOLS, **more)
    for index in range(len(names)):
        contains(text_of(second), f"sunny {index}")
    return first


@messages.feature("tools")
def _(up):
    tool_turns(up, USE_TOOL, ["get_weather"], False)
    runner = sdk.beta.messages.tool_runner(model=up.model(), max_tokens=2000, tools=[get_weather], messages=[{"role": "user", "content": USE_TOOL}])
    equal(text_of(runner.until_done()), "The tool said: sunny 0")
    if not up.choice:
        return
    forced = ask(up, tools=TOOLS, tool_choice={"type": "tool", "name": "get_time"})
    equal([call.name for call in called(forced)], ["get_time"])
    equal(called(ask(up, messages=[{"role": "user", "content": USE_TOOL}], tools=TOOLS, tool_choice={"type": "none"})), [])


@messages.feature("streamed tools")
def _(up):
    tool_turns(up, USE_TOOL, ["get_weather"], True)


@messages.feature("parallel tools")
def _(up):
    for stream in (False, True):
        tool_turns(up, USE_BOTH, ["get_weather", "get_time"], stream)


@messages.feature("structured output")
def _(up):
    answer = ask(up, output_config={"format": {"type": "json_schema", "schema": CITY}})
    equal((json.loads(text_of(answer)), answer.stop_reason), ({"city": "sample"}, "end_turn"))


@messages.feature("images")
def _(up):
    content = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}, {"type": "text", "text": "What is it?"}]
    contains(text_of(ask(up, messages=[{"role": "user", "content": content}])), SEEN)


@messages.feature("thinking")
def _(up):
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if up.thoughts else {}
    for stream in (False, True):
        first = tool_turns(up, USE_TOOL, ["get_weather"], stream, "thinking", **more)
        if up.thoughts:
            assert any(block.type == "thinking" for block in first.content), [block.type for block in first.content]


@messages.feature("errors")
def _(up):
    raises(anthropic.AuthenticationError, lambda: ask(up, client=sdk.with_options(api_key="wrong")), lambda error: equal(error.body["error"]["type"], "authentication_error"))
    raises(anthropic.PermissionDeniedError, lambda: ask(up, client=sdk.with_options(api_key=OTHER_KEY, default_headers=FORBIDDEN)))
    raises(anthropic.NotFoundError, lambda: ask(up, "unknown"), lambda error: equal(error.body["error"]["type"], "not_found_error"))
    raises(anthropic.BadRequestError, lambda: ask(up, extra_body={"temperature": "hot"}), lambda error: contains(error.message, "temperature"))
    raises(anthropic.BadRequestError, lambda: ask(up, "fault-context-length"))
    raises(anthropic.RateLimitError, lambda: ask(up, "fault-429-retry-after-7"), lambda error: equal(error.response.headers.get("retry-after"), "7"))
    raises((anthropic.InternalServerError, anthropic.APIStatusError), lambda: ask(up, "fault-500"), lambda error: equal(error.status_code >= 500, True))
    raises(anthropic.InternalServerError, lambda: ask(up, "fault-html"), lambda error: equal(error.body["type"], "error"))


@messages.feature("broken streams")
def _(up):
    for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
        def read(model=model):
            kinds = [event.type for event in ask(up, model, messages=[{"role": "user", "content": WORDS}], stream=True)]
            assert "message_stop" not in kinds, "a broken stream ended as a whole one"
            return kinds
        raises(anthropic.APIError, read)
    raises(anthropic.APIStatusError, lambda: ask(up, "fault-500", stream=True))


@messages.feature("cancellation")
def _(up):
    nonce = f"{uuid.uuid4()} {WORDS}"
    stream = ask(up, "slow-chunks-100", messages=[{"role": "user", "content": nonce}], stream=True)
    for event in stream:
        if event.type == "content_block_delta":
            break
    stream.close()
    assert_aborted(nonce)


@messages.feature("token counting")
def _(up):
    count = sdk.messages.count_tokens(model=up.model(), messages=HELLO, system="Be brief.", tools=TOOLS)
    assert count.input_tokens > 0, count


@messages.feature("models")
def _(up):
    names = [model.id for model in sdk.models.list()]
    assert "sandbox/echo" in names, names
    equal(sdk.models.retrieve("sandbox/echo").id, "sandbox/echo")


@messages.feature("asynchronous")
async def _(up):
    async with AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
        equal(text_of(await client.messages.create(model=up.model(), max_tokens=100, messages=HELLO)), ECHO)
        async with client.messages.stream(model=up.model(), max_tokens=100, messages=HELLO) as stream:
            equal(text_of(await stream.get_final_message()), ECHO)


messages.absent("Anthropic has no embeddings", "embeddings")

run((messages, "anthropic"))
