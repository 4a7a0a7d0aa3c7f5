"""Pydantic AI: its OpenAI (both ways of speaking), Anthropic and Google models."""

import functools
import uuid

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.messages import ModelResponse, ThinkingPart, ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from harness import ECHO, GREETING, KEY, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Client, assert_aborted, contains, equal, raises_async, run


class Place(BaseModel):
    """A place."""

    city: str


def client_of(name, dialect, make, thinking, kinds=(ToolOutput, NativeOutput)):
    client = Client(name, dialect)

    def agent(up, model="chat", key=KEY, **more):
        return Agent(make(up.model(model), key), retries=0, **more)

    @client.feature("chat")
    async def _(up):
        answer = await agent(up, instructions="Be brief.").run(GREETING)
        equal(answer.output, ECHO)
        usage = answer.usage() if callable(answer.usage) else answer.usage
        assert usage.input_tokens > 0, usage

    async def stream_of(agent, asked):
        async with agent.run_stream(asked) as answer:
            return "".join([piece async for piece in answer.stream_text(delta=True)])

    @client.feature("stream")
    async def _(up):
        equal(await stream_of(agent(up), GREETING), ECHO)

    async def tool_turns(up, asked, names, stream, model="chat", **more):
        called = []
        tools = agent(up, model, **more)

        @tools.tool_plain
        def get_weather(city: str) -> str:
            """The weather."""
            called.append(("get_weather", city))
            return "sunny 0"

        @tools.tool_plain
        def get_time(city: str) -> str:
            """The time."""
            called.append(("get_time", city))
            return "sunny 1"

        async def watch(_context, events):
            async for _event in events:
                pass

        answer = await tools.run(asked, event_stream_handler=watch if stream else None)
        text = answer.output
        equal(sorted(called), sorted((name, "sample") for name in names))
        for index in range(len(names)):
            contains(text, f"sunny {index}")
        return answer.all_messages()

    @client.feature("tools")
    async def _(up):
        await tool_turns(up, USE_TOOL, ["get_weather"], False)

    @client.feature("streamed tools")
    async def _(up):
        await tool_turns(up, USE_TOOL, ["get_weather"], True)

    @client.feature("parallel tools")
    async def _(up):
        for stream in (False, True):
            await tool_turns(up, USE_BOTH, ["get_weather", "get_time"], stream)

    @client.feature("structured output")
    async def _(up):
        for kind in kinds if up.choice else kinds[1:]:
            equal((await agent(up, output_type=kind(Place)).run(GREETING)).output, Place(city="sample"))

    @client.feature("images")
    async def _(up):
        import base64
        contains((await agent(up).run(["What is it?", BinaryContent(base64.b64decode(PIXEL), media_type="image/png")])).output, SEEN)

    @client.feature("thinking")
    async def _(up):
        for stream in (False, True):
            messages = await tool_turns(up, USE_TOOL, ["get_weather"], stream, "thinking", **({"model_settings": thinking} if up.thoughts else {}))
            assert any(isinstance(part, ToolCallPart) for message in messages if isinstance(message, ModelResponse) for part in message.parts)
            if up.thoughts and dialect != "openai":
                assert any(isinstance(part, ThinkingPart) for message in messages if isinstance(message, ModelResponse) for part in message.parts), messages

    @client.feature("errors")
    async def _(up):
        def status(*codes):
            return lambda error: equal(error.status_code in codes, True)
        await raises_async(ModelHTTPError, lambda: agent(up, key="wrong").run(GREETING), status(400, 401))
        await raises_async(ModelHTTPError, lambda: agent(up, "unknown").run(GREETING), status(404))
        await raises_async(ModelHTTPError, lambda: agent(up, "fault-context-length").run(GREETING), status(400))
        await raises_async(ModelHTTPError, lambda: agent(up, "fault-429-retry-after-7").run(GREETING), status(429))
        await raises_async(ModelHTTPError, lambda: agent(up, "fault-500").run(GREETING), status(500, 502, 503))

    @client.feature("broken streams")
    async def _(up):
        for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
            await raises_async(Exception, lambda model=model: stream_of(agent(up, model), WORDS))

    @client.feature("cancellation")
    async def _(up):
        nonce = f"{uuid.uuid4()} {WORDS}"
        async with agent(up, "slow-chunks-100").run_stream(nonce) as answer:
            pieces = answer.stream_text(delta=True, debounce_by=None)
            async for _piece in pieces:
                break
            await answer.cancel()
        assert_aborted(nonce)

    client.absent("not a part of this framework", "token counting", "models", "embeddings")
    return client


@functools.cache
def openai_provider(key):
    from openai import AsyncOpenAI
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0))


@functools.cache
def anthropic_provider(key):
    from anthropic import AsyncAnthropic
    return AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=URL, api_key=key, max_retries=0))


@functools.cache
def google_provider(key):
    return GoogleProvider(api_key=key, base_url=URL)


chat = client_of("Pydantic AI, OpenAI Chat Completions", "openai", lambda model, key: OpenAIChatModel(model, provider=openai_provider(key)), {"openai_reasoning_effort": "low", "max_tokens": 4000})
responses = client_of("Pydantic AI, OpenAI Responses", "responses", lambda model, key: OpenAIResponsesModel(model, provider=openai_provider(key)), {"openai_reasoning_effort": "low", "openai_reasoning_summary": "detailed", "max_tokens": 4000})
messages = client_of("Pydantic AI, Anthropic", "anthropic", lambda model, key: AnthropicModel(model, provider=anthropic_provider(key)), {"anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}, (ToolOutput,))
google = client_of("Pydantic AI, Google", "gemini", lambda model, key: GoogleModel(model, provider=google_provider(key)), {"google_thinking_config": {"include_thoughts": True, "thinking_budget": 1024}, "max_tokens": 4000})

google.absent("this client reads a stream that it has left to its end", "cancellation")

run(*[(client, "pydantic-ai-slim") for client in (chat, responses, messages, google)])
