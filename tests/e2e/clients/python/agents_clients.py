"""OpenAI's Agents SDK, over Responses and over Chat Completions."""

import functools
import uuid

import openai
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.shared import Reasoning
from pydantic import BaseModel

from harness import ECHO, GREETING, KEY, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Client, assert_aborted, contains, equal, raises_async, run

set_tracing_disabled(True)


@functools.cache
def sdk_of(key):
    return AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)


class Place(BaseModel):
    """A place."""

    city: str


def client_of(name, dialect, kind):
    client = Client(name, dialect)

    def agent(up, model="chat", key=KEY, **more):
        return Agent(name="agent", instructions="Be brief.", model=kind(model=up.model(model), openai_client=sdk_of(key)), **more)

    @client.feature("chat")
    async def _(up):
        answer = await Runner.run(agent(up), GREETING)
        equal(answer.final_output, ECHO)
        assert answer.raw_responses[0].usage.total_tokens > 0, answer.raw_responses[0].usage

    async def stream_of(agent, asked):
        answer, text = Runner.run_streamed(agent, asked), ""
        async for event in answer.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                text += event.data.delta
        return answer, text

    @client.feature("stream")
    async def _(up):
        answer, text = await stream_of(agent(up), GREETING)
        equal((text, answer.final_output), (ECHO, ECHO))

    async def tool_turns(up, asked, names, stream, model="chat", **more):
        called = []

        @function_tool
        def get_weather(city: str) -> str:
            """The weather."""
            called.append(("get_weather", city))
            return "sunny 0"

        @function_tool
        def get_time(city: str) -> str:
            """The time."""
            called.append(("get_time", city))
            return "sunny 1"

        own = agent(up, model, tools=[get_weather, get_time], **more)
        answer = (await stream_of(own, asked))[0] if stream else await Runner.run(own, asked)
        equal(sorted(called), sorted((name, "sample") for name in names))
        for index in range(len(names)):
            contains(answer.final_output, f"sunny {index}")
        # The whole history once more, with another question.
        again = await Runner.run(own, [*answer.to_input_list(), {"role": "user", "content": GREETING}])
        equal(again.final_output, ECHO)

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
        equal((await Runner.run(agent(up, output_type=Place), GREETING)).final_output, Place(city="sample"))

    @client.feature("images")
    async def _(up):
        content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"}]
        contains((await Runner.run(agent(up), [{"role": "user", "content": content}])).final_output, SEEN)

    @client.feature("thinking")
    async def _(up):
        include = ["reasoning.encrypted_content"] if kind is OpenAIResponsesModel else None
        more = {"model_settings": ModelSettings(reasoning=Reasoning(effort="low", summary="auto"), response_include=include, max_tokens=4000, store=False)} if up.thoughts else {}
        for stream in (False, True):
            await tool_turns(up, USE_TOOL, ["get_weather"], stream, "thinking", **more)

    @client.feature("errors")
    async def _(up):
        await raises_async(openai.AuthenticationError, lambda: Runner.run(agent(up, key="wrong"), GREETING))
        await raises_async(openai.NotFoundError, lambda: Runner.run(agent(up, "unknown"), GREETING))
        await raises_async(openai.BadRequestError, lambda: Runner.run(agent(up, "fault-context-length"), GREETING))
        await raises_async(openai.RateLimitError, lambda: Runner.run(agent(up, "fault-429-retry-after-7"), GREETING), lambda error: equal(error.response.headers.get("retry-after"), "7"))
        await raises_async(openai.InternalServerError, lambda: Runner.run(agent(up, "fault-500"), GREETING))

    @client.feature("broken streams")
    async def _(up):
        for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
            await raises_async(Exception, lambda model=model: stream_of(agent(up, model), WORDS))

    @client.feature("cancellation")
    async def _(up):
        nonce = f"{uuid.uuid4()} {WORDS}"
        answer = Runner.run_streamed(agent(up, "slow-chunks-100"), nonce)
        async for event in answer.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                answer.cancel()
                break
        # The task ends in its own time.
        import asyncio
        while not answer.is_complete or (answer.run_loop_task and not answer.run_loop_task.done()):
            await asyncio.sleep(0.01)
        assert_aborted(nonce)

    client.absent("not a part of this framework", "token counting", "models", "embeddings")
    return client


run(*[(client, "openai-agents") for client in (client_of("OpenAI Agents SDK, Responses", "responses", OpenAIResponsesModel), client_of("OpenAI Agents SDK, Chat Completions", "openai", OpenAIChatCompletionsModel))])
