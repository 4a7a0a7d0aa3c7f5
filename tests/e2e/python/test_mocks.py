"""The providers' own clients, straight at the mocks: what they send is accepted, what the mocks answer they understand.

Needs SLUICE_MOCKS, the address of mocks started with --lenient.
"""

import os
import unittest

import anthropic
import openai
from google import genai
from google.genai import types

MOCKS = os.environ["SLUICE_MOCKS"]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class OpenAI(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=f"{MOCKS}/openai/v1", api_key="sk-mock-openai", max_retries=0)
        self.tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]

    def tearDown(self):
        self.client.close()

    def test_chat_whole_and_streamed_agree(self):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße 🌍"}]
        whole = self.client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        self.assertEqual(whole.choices[0].message.content, "You said: Grüße 🌍")
        text, usage = "", None
        for chunk in self.client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            usage = chunk.usage or usage
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(usage, whole.usage)

    def test_tool_round_trip(self):
        messages = [{"role": "user", "content": "use the tool weather"}]
        first = self.client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=self.tools).choices[0]
        self.assertEqual(first.finish_reason, "tool_calls")
        call = first.message.tool_calls[0]
        messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        second = self.client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=self.tools)
        self.assertEqual(second.choices[0].message.content, "The tool said: sunny")

    def test_embeddings(self):
        answer = self.client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=8)
        self.assertEqual([len(item.embedding) for item in answer.data], [8, 8])

    def test_errors(self):
        for model, error in {"fault-429": openai.RateLimitError, "unknown": openai.NotFoundError, "fault-500": openai.InternalServerError}.items():
            with self.assertRaises(error):
                self.client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
        with self.assertRaises(openai.AuthenticationError):
            self.client.with_options(api_key="wrong").models.list()


class Anthropic(unittest.TestCase):
    def setUp(self):
        self.client = anthropic.Anthropic(base_url=f"{MOCKS}/anthropic", api_key="sk-ant-mock", max_retries=0)
        self.tools = [{"name": "weather", "input_schema": WEATHER}]

    def tearDown(self):
        self.client.close()

    def test_chat_whole_and_streamed_agree(self):
        ask = dict(model="claude-sonnet-4-5", max_tokens=100, system="Be brief.", messages=[{"role": "user", "content": "Grüße 🌍"}])
        whole = self.client.messages.create(**ask)
        self.assertEqual(whole.content[0].text, "You said: Grüße 🌍")
        with self.client.messages.stream(**ask) as stream:
            final = stream.get_final_message()
        self.assertEqual(final.content[0].text, whole.content[0].text)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)

    def test_thinking_and_tool_round_trip(self):
        ask = dict(model="claude-sonnet-4-5", max_tokens=2048, tools=self.tools, thinking={"type": "enabled", "budget_tokens": 1024})
        messages = [{"role": "user", "content": "use the tool weather"}]
        with self.client.messages.stream(messages=messages, **ask) as stream:
            first = stream.get_final_message()
        self.assertEqual(first.stop_reason, "tool_use")
        self.assertEqual([block.type for block in first.content], ["thinking", "text", "tool_use"])
        content = [block.model_dump(include={"thinking": {"type", "thinking", "signature"}, "text": {"type", "text"}, "tool_use": {"type", "id", "name", "input"}}[block.type]) for block in first.content]
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": first.content[2].id, "content": "sunny"}]}]
        second = self.client.messages.create(messages=messages, **ask)
        self.assertEqual(second.content[-1].text, "The tool said: sunny")

    def test_picture(self):
        content = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}, {"type": "text", "text": "What is it?"}]
        answer = self.client.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=[{"role": "user", "content": content}])
        self.assertIn("1 picture", answer.content[0].text)

    def test_errors(self):
        def ask(**more):
            return self.client.messages.create(**{"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}], **more})

        for model, error in {"fault-429-retry-after-1": anthropic.RateLimitError, "unknown": anthropic.NotFoundError}.items():
            with self.assertRaises(error):
                ask(model=model)
        with self.assertRaisesRegex(anthropic.APIStatusError, "Overloaded"):
            ask(model="fault-529")
        with self.assertRaisesRegex(anthropic.BadRequestError, "Extra inputs"):
            ask(extra_body={"frequency_penalty": 1})
        with self.assertRaisesRegex(anthropic.BadRequestError, "tool_use_id"):
            ask(messages=[{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}])


class Gemini(unittest.TestCase):
    def setUp(self):
        self.client = genai.Client(api_key="AIza-mock", http_options=types.HttpOptions(base_url=f"{MOCKS}/gemini"))

    def test_chat_whole_and_streamed_agree(self):
        config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.5)
        whole = self.client.models.generate_content(model="gemini-2.5-flash", contents="Grüße 🌍", config=config)
        self.assertEqual(whole.text, "You said: Grüße 🌍")
        chunks = list(self.client.models.generate_content_stream(model="gemini-2.5-flash", contents="Grüße 🌍", config=config))
        self.assertEqual("".join(chunk.text or "" for chunk in chunks), whole.text)
        self.assertEqual(chunks[-1].usage_metadata.total_token_count, whole.usage_metadata.total_token_count)

    def test_signed_tool_round_trip(self):
        tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", parameters_json_schema=WEATHER)])
        config = types.GenerateContentConfig(tools=[tool])
        user = types.Content(role="user", parts=[types.Part(text="use the tool weather")])
        first = self.client.models.generate_content(model="gemini-3-pro", contents=[user], config=config).candidates[0].content
        call = first.parts[0].function_call
        self.assertEqual(call.args, {"city": "sample", "days": 7})
        result = types.Content(role="user", parts=[types.Part(function_response=types.FunctionResponse(id=call.id, name="weather", response={"result": "sunny"}))])
        second = self.client.models.generate_content(model="gemini-3-pro", contents=[user, first, result], config=config)
        self.assertEqual(second.text, "The tool said: sunny")
        first.parts[0].thought_signature = None
        with self.assertRaisesRegex(genai.errors.ClientError, "thought_signature"):
            self.client.models.generate_content(model="gemini-3-pro", contents=[user, first, result], config=config)

    def test_schema(self):
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=types.Schema(type="OBJECT", properties={"n": types.Schema(type="INTEGER")}))
        self.assertEqual(self.client.models.generate_content(model="gemini-2.5-flash", contents="x", config=config).text, '{"n":7}')

    def test_embeddings(self):
        answer = self.client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=types.EmbedContentConfig(output_dimensionality=8))
        self.assertEqual([len(item.values) for item in answer.embeddings], [8, 8])

    def test_errors(self):
        with self.assertRaises(genai.errors.ClientError) as caught:
            self.client.models.generate_content(model="unknown", contents="x")
        self.assertEqual(caught.exception.code, 404)


if __name__ == "__main__":
    unittest.main()
