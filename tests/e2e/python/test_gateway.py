"""OpenAI's official Python client against the gateway. Needs SLUICE_URL, SLUICE_KEY and SLUICE_BUDGET_KEY (its budget is spent)."""

import json
import os
import unittest

import openai
from openai import OpenAI

URL, KEY = os.environ["SLUICE_URL"], os.environ["SLUICE_KEY"]
WIRES = ["openai", "plain", "anthropic", "gemini"]
HELLO = [{"role": "user", "content": "Grüße 🌍"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


class Gateway(unittest.TestCase):
    def setUp(self):
        self.client = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def tearDown(self):
        self.client.close()

    def ask(self, **more):
        return self.client.chat.completions.create(**{"model": "mock-openai/chat", "messages": HELLO, **more})

    def each(self, wires=WIRES):
        for wire in wires:
            with self.subTest(wire):
                yield f"mock-{wire}"

    def test_two_lines_change(self):
        for mock in self.each():
            self.assertEqual(self.ask(model=f"{mock}/chat").choices[0].message.content, "You said: Grüße 🌍")

    def test_streamed_agrees_with_whole(self):
        for mock in self.each():
            whole = self.ask(model=f"{mock}/chat")
            text, usage, finish = "", None, None
            for chunk in self.ask(model=f"{mock}/chat", stream=True, stream_options={"include_usage": True}):
                if chunk.choices:
                    text += chunk.choices[0].delta.content or ""
                    finish = chunk.choices[0].finish_reason or finish
                usage = chunk.usage or usage
            self.assertEqual((text, finish), (whole.choices[0].message.content, "stop"))
            self.assertEqual((usage.prompt_tokens, usage.completion_tokens), (whole.usage.prompt_tokens, whole.usage.completion_tokens))

    def test_tool_round_trip(self):
        for mock in self.each():
            messages = [{"role": "user", "content": "use the tool get_weather"}]
            message = self.ask(model=f"{mock}/chat", messages=messages, tools=TOOLS).choices[0].message
            call = message.tool_calls[0]
            self.assertEqual(json.loads(call.function.arguments), {"city": "sample"})
            messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
            self.assertEqual(self.ask(model=f"{mock}/chat", messages=messages, tools=TOOLS).choices[0].message.content, "The tool said: sunny")

    def test_streamed_tool_round_trip(self):
        for mock in self.each():
            messages = [{"role": "user", "content": "use the tool get_weather"}]
            with self.client.chat.completions.stream(model=f"{mock}/chat", messages=messages, tools=TOOLS) as stream:
                message = stream.get_final_completion().choices[0].message
            call = message.tool_calls[0]
            self.assertEqual(json.loads(call.function.arguments), {"city": "sample"})
            messages += [
                {"role": "assistant", "content": message.content, "tool_calls": [{"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}]},
                {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
            ]
            with self.client.chat.completions.stream(model=f"{mock}/chat", messages=messages, tools=TOOLS) as stream:
                self.assertEqual(stream.get_final_completion().choices[0].message.content, "The tool said: sunny")

    def test_embeddings(self):
        for mock in self.each(["openai", "gemini"]):
            answer = self.client.embeddings.create(model=f"{mock}/embed", input=["a", "b"], dimensions=8)
            self.assertEqual([len(item.embedding) for item in answer.data], [8, 8])

    def test_models(self):
        self.assertIn("sandbox/echo", [model.id for model in self.client.models.list()])
        self.assertEqual(self.client.models.retrieve("chain/500").id, "chain/500")

    def test_error_classes(self):
        with self.assertRaises(openai.AuthenticationError):
            self.client.with_options(api_key="wrong").models.list()
        with self.assertRaises(openai.NotFoundError):
            self.ask(model="no-such-model")
        with self.assertRaises(openai.BadRequestError):
            self.ask(extra_body={"temperature": "hot"})
        with self.assertRaises(openai.RateLimitError):
            self.ask(model="mock-gemini/fault-429-retry-after-30")
        with self.assertRaises(openai.InternalServerError):
            self.ask(model="mock-openai/fault-500")
        with self.assertRaises(openai.RateLimitError) as caught:
            self.client.with_options(api_key=os.environ["SLUICE_BUDGET_KEY"]).chat.completions.create(model="mock-openai/chat", messages=HELLO)
        self.assertRegex(caught.exception.code, "budget")

    def test_error_in_mid_stream(self):
        for mock in self.each():
            with self.assertRaises(openai.APIError):
                for _ in self.ask(model=f"{mock}/fault-cut-after-4", stream=True, messages=[{"role": "user", "content": "one two three four five six seven eight"}]):
                    pass

    def test_stream_given_up(self):
        for mock in self.each():
            stream = self.ask(model=f"{mock}/slow-chunks-200", stream=True, messages=[{"role": "user", "content": "one two three four five six seven eight nine ten eleven twelve"}])
            next(iter(stream))
            stream.close()


if __name__ == "__main__":
    unittest.main()
