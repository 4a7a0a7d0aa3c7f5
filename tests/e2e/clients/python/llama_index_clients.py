"""LlamaIndex: its OpenAI (both ways of speaking), Anthropic and Google models."""

import uuid

import anthropic
import google.genai
import openai
from llama_index.core.llms import ChatMessage, ImageBlock, LLMMetadata, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel

from harness import ECHO, GREETING, KEY, NO_CHOICE, PIXEL, SEEN, URL, USE_BOTH, USE_TOOL, WORDS, Absent, Client, assert_aborted, contains, equal, raises, run


class Place(BaseModel):
    """A place."""

    city: str


def get_weather(city: str) -> str:
    """The weather."""
    return "sunny 0"


def get_time(city: str) -> str:
    """The time."""
    return "sunny 1"


TOOLS = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)]


def named(kind):
    """The integration knows OpenAI's and Anthropic's own names only; of others it must be told what they are."""

    class Named(kind):
        @property
        def metadata(self):
            return LLMMetadata(context_window=128_000, is_chat_model=True, is_function_calling_model=True, model_name=self.model)

    return Named


def openai_chat(up, model, key=KEY, **more):
    return named(OpenAI)(model=up.model(model), api_base=f"{URL}/v1", api_key=key, max_retries=0, **more)


def openai_responses(up, model, key=KEY, **more):
    return named(OpenAIResponses)(model=up.model(model), api_base=f"{URL}/v1", api_key=key, max_retries=0, **more)


def anthropic_chat(up, model, key=KEY, **more):
    return named(Anthropic)(model=up.model(model), base_url=URL, api_key=key, max_retries=0, **{"max_tokens": 2000, **more})


def google_chat(up, model, key=KEY, **more):
    options = {"base_url": URL, "retry_options": {"attempts": 1}}
    return GoogleGenAI(model=up.model(model), api_key=key, max_retries=1, context_window=128_000, http_options=options, **more)


def client_of(name, dialect, make, thinking, errors):
    client = Client(name, dialect)

    @client.feature("chat")
    def _(up):
        equal(make(up, "chat").chat([ChatMessage("Be brief.", role="system"), ChatMessage(GREETING)]).message.content, ECHO)

    @client.feature("stream")
    def _(up):
        pieces = list(make(up, "chat").stream_chat([ChatMessage(GREETING)]))
        equal((pieces[-1].message.content, "".join(piece.delta or "" for piece in pieces)), (ECHO, ECHO))

    def ask(llm, stream, history, asked=None):
        if stream:
            return list(llm.stream_chat_with_tools(TOOLS, user_msg=asked, chat_history=history, allow_parallel_tool_calls=True))[-1]
        return llm.chat_with_tools(TOOLS, user_msg=asked, chat_history=history, allow_parallel_tool_calls=True)

    def tool_turns(up, asked, names, stream, model="chat", **more):
        llm = make(up, model, **more)
        first = ask(llm, stream, [], asked)
        calls = llm.get_tool_calls_from_response(first)
        equal([(call.tool_name, call.tool_kwargs) for call in calls], [(name, {"city": "sample"}) for name in names])
        history = [ChatMessage(asked), first.message]
        for index, call in enumerate(calls):
            history.append(ChatMessage(f"sunny {index}", role="tool", additional_kwargs={"tool_call_id": call.tool_id, "name": call.tool_name}))
        second = ask(llm, stream, history)
        for index in range(len(names)):
            contains(second.message.content, f"sunny {index}")

    @client.feature("tools")
    def _(up):
        tool_turns(up, USE_TOOL, ["get_weather"], False)

    @client.feature("streamed tools")
    def _(up):
        tool_turns(up, USE_TOOL, ["get_weather"], True)

    @client.feature("parallel tools")
    def _(up):
        for stream in (False, True):
            tool_turns(up, USE_BOTH, ["get_weather", "get_time"], stream)

    @client.feature("structured output")
    def _(up):
        if not up.choice:
            raise Absent(NO_CHOICE)
        equal(make(up, "chat").as_structured_llm(Place).chat([ChatMessage(GREETING)]).raw, Place(city="sample"))

    @client.feature("images")
    def _(up):
        import base64
        blocks = [TextBlock(text="What is it?"), ImageBlock(image=base64.b64decode(PIXEL), image_mimetype="image/png")]
        contains(make(up, "chat").chat([ChatMessage(blocks=blocks)]).message.content, SEEN)

    @client.feature("thinking")
    def _(up):
        for stream in (False, True):
            tool_turns(up, USE_TOOL, ["get_weather"], stream, "thinking", **(thinking if up.thoughts else {}))

    @client.feature("errors")
    def _(up):
        unauthenticated, missing, limited, failed = errors
        hello = [ChatMessage(GREETING)]
        raises(unauthenticated, lambda: make(up, "chat", key="wrong").chat(hello))
        raises(missing, lambda: make(up, "unknown").chat(hello))
        raises(limited, lambda: make(up, "fault-429-retry-after-7").chat(hello))
        raises(failed, lambda: make(up, "fault-500").chat(hello))

    @client.feature("broken streams")
    def _(up):
        for model in ("fault-cut-after-4", "error-event-after-4", "fault-end-after-4"):
            raises(Exception, lambda model=model: list(make(up, model).stream_chat([ChatMessage(WORDS)])), lambda error: equal(isinstance(error, AssertionError), False))

    @client.feature("cancellation")
    def _(up):
        nonce = f"{uuid.uuid4()} {WORDS}"
        stream = make(up, "slow-chunks-100").stream_chat([ChatMessage(nonce)])
        for piece in stream:
            if piece.delta:
                break
        stream.close()
        assert_aborted(nonce)

    client.absent("not a part of this integration", "token counting", "models")
    return client


def classes(package):
    return package.AuthenticationError, package.NotFoundError, package.RateLimitError, package.InternalServerError


GOOGLE_ERRORS = [google.genai.errors.ClientError] * 3 + [google.genai.errors.ServerError]
chat = client_of("LlamaIndex, OpenAI Chat Completions", "openai", openai_chat, {"additional_kwargs": {"reasoning_effort": "low", "max_completion_tokens": 4000}}, classes(openai))
responses = client_of("LlamaIndex, OpenAI Responses", "responses", openai_responses, {"reasoning_options": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "max_output_tokens": 4000}, classes(openai))
messages = client_of("LlamaIndex, Anthropic", "anthropic", anthropic_chat, {"thinking_dict": {"type": "enabled", "budget_tokens": 1024}, "temperature": 1, "max_tokens": 4000}, classes(anthropic))
generate = client_of("LlamaIndex, Google", "gemini", google_chat, {"generation_config": google.genai.types.GenerateContentConfig(thinking_config={"include_thoughts": True, "thinking_budget": 1024}, max_output_tokens=4000)}, GOOGLE_ERRORS)


@chat.feature("embeddings")
def _(up):
    found = OpenAIEmbedding(api_base=f"{URL}/v1", api_key=KEY, model_name=up.model("embed"), dimensions=up.dimensions, max_retries=0).get_text_embedding_batch(["a", "b"])
    equal([len(one) for one in found], [up.dimensions] * 2)


for other in (chat, responses):
    other.absent("this client keeps a stream open that it has left", "cancellation")

messages.absent("this client chooses tools by a word, which Anthropic's own API refuses", "structured output")

for other in (responses, messages, generate):
    other.absent("not a part of this integration", "embeddings")

run((chat, "llama-index-llms-openai"), (responses, "llama-index-llms-openai"), (messages, "llama-index-llms-anthropic"), (generate, "llama-index-llms-google-genai"))
