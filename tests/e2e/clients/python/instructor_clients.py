"""Instructor: structured answers over OpenAI (both ways of speaking), Anthropic and Google."""

import functools

import instructor
from anthropic import Anthropic
from google import genai
from openai import OpenAI
from pydantic import BaseModel

from harness import GREETING, KEY, NO_CHOICE, PIXEL, URL, WORDS, Absent, Client, equal, raises, run

REASON = "Instructor makes structured answers only"
HELLO = [{"role": "user", "content": GREETING}]


class Place(BaseModel):
    """A place."""

    city: str


def client_of(name, dialect, make, modes, more):
    client = Client(name, dialect)

    def ask(up, model="chat", key=KEY, mode=modes[0], messages=HELLO, **extra):
        if not up.choice:
            raise Absent(NO_CHOICE)
        return make(key, mode).chat.completions.create(model=up.model(model), messages=messages, response_model=Place, max_retries=0, **more, **extra)

    @client.feature("structured output")
    def _(up):
        for mode in modes:
            equal(ask(up, mode=mode).city, "sample")

    @client.feature("stream")
    def _(up):
        if not up.choice:
            raise Absent(NO_CHOICE)
        last = None
        for last in make(KEY, modes[0]).chat.completions.create_partial(model=up.model(), messages=HELLO, response_model=Place, max_retries=0, **more):
            pass
        equal(last.city, "sample")

    @client.feature("asynchronous")
    async def _(up):
        import asyncio
        equal((await asyncio.to_thread(ask, up)).city, "sample")

    @client.feature("images")
    def _(up):
        content = ["What is it?", instructor.Image.from_raw_base64(PIXEL)]
        equal(ask(up, messages=[{"role": "user", "content": content}]).city, "sample")

    @client.feature("errors")
    def _(up):
        if not up.choice:
            raise Absent(NO_CHOICE)
        for model, key in (("chat", "wrong"), ("unknown", KEY), ("fault-429-retry-after-7", KEY), ("fault-500", KEY)):
            raises(Exception, lambda model=model, key=key: ask(up, model, key=key), lambda error: equal(isinstance(error, AssertionError), False))

    @client.feature("broken streams")
    def _(up):
        for model in ("fault-cut-after-1", "error-event-after-1"):
            def read(model=model):
                return list(make(KEY, modes[0]).chat.completions.create_partial(model=up.model(model), messages=[{"role": "user", "content": WORDS}], response_model=Place, max_retries=0, **more))
            raises(Exception, read, lambda error: equal(isinstance(error, AssertionError), False))

    client.absent(REASON, "chat", "tools", "streamed tools", "parallel tools", "thinking", "cancellation", "token counting", "models", "embeddings")
    return client


@functools.cache
def openai_client(key, mode):
    return instructor.from_openai(OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0), mode=mode)


@functools.cache
def anthropic_client(key, mode):
    return instructor.from_anthropic(Anthropic(base_url=URL, api_key=key, max_retries=0), mode=mode)


@functools.cache
def google_client(key, mode):
    return instructor.from_genai(genai.Client(api_key=key, http_options={"base_url": URL, "retry_options": {"attempts": 1}}), mode=mode)


Mode = instructor.Mode
run(
    (client_of("Instructor, OpenAI Chat Completions", "openai", openai_client, [Mode.TOOLS, Mode.JSON_SCHEMA], {}), "instructor"),
    (client_of("Instructor, OpenAI Responses", "responses", openai_client, [Mode.RESPONSES_TOOLS], {}), "instructor"),
    (client_of("Instructor, Anthropic", "anthropic", anthropic_client, [Mode.ANTHROPIC_TOOLS], {"max_tokens": 2000}), "instructor"),
    (client_of("Instructor, Google", "gemini", google_client, [Mode.GENAI_TOOLS, Mode.GENAI_STRUCTURED_OUTPUTS], {}), "instructor"),
)
