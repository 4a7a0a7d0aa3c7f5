"""LangChain: its OpenAI (both ways of speaking), Anthropic and Google integrations."""

import os
import uuid

os.environ.update(LANGCHAIN_TRACING_V2="false", LANGSMITH_TRACING="false")

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_google_genai.chat_models import ChatGoogleGenerativeAIError
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from harness import ECHO, GREETING, KEY, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Client, assert_aborted, contains, equal, raises, run


class Place(BaseModel):
    """A place."""

    city: str


def get_weather(city: str) -> str:
    """The weather."""
    return "sunny"


def get_time(city: str) -> str:
    """The time."""
    return "noon"


def openai_chat(up, model, **more):
    return ChatOpenAI(base_url=f"{URL}/v1", api_key=more.pop("key", KEY), model=up.model(model), max_retries=0, stream_usage=True, **more)


def openai_responses(up, model, **more):
    return openai_chat(up, model, use_responses_api=True, store=False, output_version="responses/v1", **more)


def anthropic_chat(up, model, **more):
    return ChatAnthropic(base_url=URL, api_key=more.pop("key", KEY), model=up.model(model), max_retries=0, max_tokens=2000, **more)


def google_chat(up, model, **more):
    return ChatGoogleGenerativeAI(base_url=URL, google_api_key=more.pop("key", KEY), model=up.model(model), max_retries=1, **more)


def client_of(name, dialect, make, thinking, errors):
    client = Client(name, dialect)

    @client.feature("chat")
    def _(up):
        answer = make(up, "chat").invoke([("system", "Be brief."), ("user", GREETING)])
        equal(answer.text, ECHO)
        assert answer.usage_metadata["input_tokens"] > 0, answer.usage_metadata

    @client.feature("stream")
    def _(up):
        whole = make(up, "chat").invoke(GREETING)
        answer = AIMessageChunk(content="")
        for chunk in make(up, "chat").stream(GREETING):
            answer += chunk
        equal(answer.text, ECHO)
        equal(answer.usage_metadata["total_tokens"], whole.usage_metadata["total_tokens"])

    def ask(model, messages, stream):
        if not stream:
            return model.invoke(messages)
        answer = None
        for chunk in model.stream(messages):
            answer = chunk if answer is None else answer + chunk
        return answer

    def tool_turns(up, asked, names, stream, model="chat", **more):
        bound = make(up, model, **more).bind_tools([get_weather, get_time])
        messages = [HumanMessage(asked)]
        first = ask(bound, messages, stream)
        equal([(call["name"], call["args"]) for call in first.tool_calls], [(name, {"city": "sample"}) for name in names])
        second = ask(bound, [*messages, first, *[ToolMessage(f"sunny {index}", tool_call_id=call["id"], name=call["name"]) for index, call in enumerate(first.tool_calls)]], stream)
        for index in range(len(names)):
            contains(second.text, f"sunny {index}")
        return first

    @client.feature("tools")
    def _(up):
        tool_turns(up, USE_TOOL, ["get_weather"], False)
        if not up.choice:
            return
        forced = make(up, "chat").bind_tools([get_weather, get_time], tool_choice="get_time").invoke(GREETING)
        equal([call["name"] for call in forced.tool_calls], ["get_time"])

    @client.feature("streamed tools")
    def _(up):
        tool_turns(up, USE_TOOL, ["get_weather"], True)

    @client.feature("parallel tools")
    def _(up):
        for stream in (False, True):
            tool_turns(up, USE_BOTH, ["get_weather", "get_time"], stream)

    @client.feature("structured output")
    def _(up):
        for method in ("json_schema", "function_calling") if up.choice else ("json_schema",):
            equal(make(up, "chat").with_structured_output(Place, method=method).invoke(GREETING), Place(city="sample"))

    @client.feature("images")
    def _(up):
        content = [{"type": "text", "text": "What is it?"}, {"type": "image", "base64": PIXEL, "mime_type": "image/png"}]
        contains(make(up, "chat").invoke([HumanMessage(content_blocks=content)]).text, SEEN)

    @client.feature("thinking")
    def _(up):
        for stream in (False, True):
            tool_turns(up, USE_TOOL, ["get_weather"], stream, "thinking", **(thinking if up.thoughts else {}))

    @client.feature("errors")
    def _(up):
        unauthenticated, missing, limited, failed = errors
        raises(unauthenticated, lambda: make(up, "chat", key="wrong").invoke(GREETING))
        raises(missing, lambda: make(up, "unknown").invoke(GREETING))
        raises(limited, lambda: make(up, "fault-429-retry-after-7").invoke(GREETING), lambda error: contains(str(error), "429"))
        raises(failed, lambda: make(up, "fault-500").invoke(GREETING), lambda error: equal(isinstance(error, AssertionError), False))

    @client.feature("broken streams")
    def _(up):
        for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
            raises(Exception, lambda model=model: list(make(up, model).stream(WORDS)), lambda error: equal(isinstance(error, AssertionError), False))

    @client.feature("cancellation")
    def _(up):
        nonce = f"{uuid.uuid4()} {WORDS}"
        stream = make(up, "slow-chunks-100").stream(nonce)
        for chunk in stream:
            if chunk.text:
                break
        stream.close()
        assert_aborted(nonce)

    @client.feature("asynchronous")
    async def _(up):
        equal((await make(up, "chat").ainvoke(GREETING)).text, ECHO)
        text = ""
        async for chunk in make(up, "chat").astream(GREETING):
            text += chunk.text
        equal(text, ECHO)

    client.absent("not a part of this integration", "token counting", "models")
    return client


OPENAI_ERRORS = (openai.AuthenticationError, openai.NotFoundError, openai.RateLimitError, openai.InternalServerError)
ANTHROPIC_ERRORS = (anthropic.AuthenticationError, anthropic.NotFoundError, anthropic.RateLimitError, anthropic.InternalServerError)
chat = client_of("langchain-openai, Chat Completions", "openai", openai_chat, {"reasoning_effort": "low", "max_completion_tokens": 4000}, OPENAI_ERRORS)
responses = client_of("langchain-openai, Responses", "responses", openai_responses, {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "max_tokens": 4000}, OPENAI_ERRORS)
messages = client_of("langchain-anthropic", "anthropic", anthropic_chat, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ANTHROPIC_ERRORS)
google = client_of("langchain-google-genai", "gemini", google_chat, {"include_thoughts": True, "thinking_budget": 1024, "max_output_tokens": 4000}, [ChatGoogleGenerativeAIError] * 3 + [Exception])


@chat.feature("embeddings")
def _(up):
    found = OpenAIEmbeddings(base_url=f"{URL}/v1", api_key=KEY, model=up.model("embed"), dimensions=up.dimensions, check_embedding_ctx_length=False).embed_documents(["a", "b"])
    equal([len(one) for one in found], [up.dimensions] * 2)


for other in (responses, messages, google):
    other.absent("not a part of this integration", "embeddings")

run((chat, "langchain-openai"), (responses, "langchain-openai"), (messages, "langchain-anthropic"), (google, "langchain-google-genai"))
