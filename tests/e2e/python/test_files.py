"""OpenAI's official Python client and what a provider keeps: files and batches, through the gateway."""

import json
import os

import openai
from openai import OpenAI

client = OpenAI(base_url=f"{os.environ['SLUICE_URL']}/v1", api_key=os.environ["SLUICE_KEY"], max_retries=0, timeout=20)
LINE = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini", "messages": []}})


def equal(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


file = client.files.create(file=("lines.jsonl", f"{LINE}\n".encode()), purpose="batch")
equal((file.object, file.filename, file.bytes), ("file", "lines.jsonl", len(LINE) + 1))
equal(client.files.retrieve(file.id), file)
equal(client.files.content(file.id).text, f"{LINE}\n")
with client.files.with_streaming_response.content(file.id) as answer:
    equal(b"".join(answer.iter_bytes()), f"{LINE}\n".encode())

batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
equal((batch.input_file_id, batch.metadata), (file.id, None))
done = client.batches.retrieve(batch.id)
equal(done.status, "completed")
equal(json.loads(client.files.content(done.output_file_id).text)["custom_id"], "1")
equal(client.batches.cancel(batch.id).id, batch.id)
equal([one.id for one in client.batches.list(limit=1)], [batch.id])

other = client.files.create(file=("a.txt", b"Hello"), purpose="user_data", extra_headers={"x-sluice-provider": "mock-openai"})
equal([one.id for one in client.files.list(limit=1, order="asc")], [file.id, other.id])
answer = client.responses.create(model="mock-openai/chat", input=[{"role": "user", "content": [{"type": "input_file", "file_id": other.id}, {"type": "input_text", "text": "Read it"}]}])
equal(answer.status, "completed")

equal(client.files.delete(other.id).deleted, True)
equal(raises(openai.NotFoundError, lambda: client.files.retrieve("file-0123")).param, "id")
raises(openai.NotFoundError, lambda: client.batches.cancel("batch_0123"))
raises(openai.BadRequestError, lambda: client.files.list(extra_headers={"x-sluice-provider": "nobody"}))
