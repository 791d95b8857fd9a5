"""The OpenAI API, with its own client where that can say it and by hand where it cannot."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from server_process import Server, StartServer, write_model

HELLO = [{"role": "user", "content": "one two three"}]


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="sk-secret-key", max_retries=0) as made:
        yield made


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["slow", "text"]
    assert client.models.retrieve("text").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("identity")


def test_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="text", prompt="one two three", max_tokens=2, logprobs=2)
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason, choice.index) == ("one two", "length", 0)
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["one", " two"]
    assert choice.logprobs.text_offset == [0, 3]
    assert choice.logprobs.token_logprobs == [-0.5, -0.5]
    assert choice.logprobs.top_logprobs == [{"one": -0.5, "one~1": -1.5}, {" two": -0.5, " two~1": -1.5}]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        3,
        2,
        5,
    )


def test_max_tokens_is_16_unless_given(client: openai.OpenAI) -> None:
    assert client.completions.create(model="text", prompt=" w" * 20).choices[0].text == " w" * 16


def test_prompts_and_n_make_choices(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="text", prompt=["a b", "c"], n=2, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == ["a ba b", "a ba b", "cc", "cc"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 6)


@pytest.mark.parametrize(("prompt", "texts"), [([5, 7], [" 5 7"]), ([[5], [7, 9]], [" 5", " 7 9"])])
def test_token_prompts(client: openai.OpenAI, prompt: list[int], texts: list[str]) -> None:
    answer = client.completions.create(model="text", prompt=prompt)
    assert [choice.text for choice in answer.choices] == texts


@pytest.mark.parametrize("stop", ["two", ["never", "two"]])
def test_stop(client: openai.OpenAI, stop: str | list[str]) -> None:
    choice = client.completions.create(model="text", prompt="one two three", stop=stop).choices[0]
    assert (choice.text, choice.finish_reason) == ("one", "stop")


def test_completion_stream(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model="text", prompt="one two three", stream=True, stream_options={"include_usage": True}, logprobs=0
    )
    chunks = list(stream)
    usage = chunks.pop().usage
    assert usage is not None and usage.total_tokens == 6
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert [chunk.choices[0].logprobs.text_offset for chunk in chunks] == [[0], [3], [7]]  # type: ignore[union-attr]


def test_chat(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    answer = client.chat.completions.create(
        model="text",
        messages=[{"role": "system", "content": "x"}, {"role": "user", "content": parts}],  # type: ignore[list-item, misc]
        max_completion_tokens=5,
        temperature=0.5,
        seed=1,
        logprobs=True,
        top_logprobs=1,
        extra_body={"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.1, "ignore_eos": True},
    )
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "one two",
        "stop",
    )
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert [token.token for token in choice.logprobs.content] == ["one", " two"]
    assert choice.logprobs.content[0].top_logprobs[0].logprob == -0.5
    assert choice.logprobs.content[1].bytes == list(b" two")


def test_chat_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="text", messages=HELLO, n=2, stream=True)  # type: ignore[arg-type]
    texts = ["", ""]
    roles: list[list[str | None]] = [[], []]
    reasons: list[list[str | None]] = [[], []]
    for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        roles[choice.index].append(choice.delta.role)
        reasons[choice.index].append(choice.finish_reason)
    assert texts == ["one two three"] * 2
    assert roles == [["assistant", None, None]] * 2
    assert reasons == [[None, None, "stop"]] * 2


def test_a_reply_may_be_sent_back_as_it_came(client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model="text", messages=HELLO).choices[0].message  # type: ignore[arg-type]
    messages = [*HELLO, message.model_dump(), {"role": "user", "content": "four"}]
    again = client.chat.completions.create(model="text", messages=messages)  # type: ignore[arg-type]
    assert again.choices[0].message.content == "four"


def test_the_stream_on_the_wire(server: Server) -> None:
    body = {"model": "text", "messages": HELLO, "stream": True}
    answer = httpx.post(server.url + "/v1/chat/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    *events, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    first = json.loads(events[0].removeprefix("data: "))
    assert first["object"] == "chat.completion.chunk"
    assert first["id"].startswith("chatcmpl-")
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "one"}
    assert "usage" not in first


CHAT = {"model": "text", "messages": HELLO}
COMPLETION = {"model": "text", "prompt": "x"}
REFUSALS: list[tuple[dict[str, object], str, str]] = [
    ({**COMPLETION, "foo": 1}, "foo", "unknown_parameter"),
    ({**COMPLETION, "suffix": "x"}, "suffix", "unsupported_parameter"),
    ({**COMPLETION, "logit_bias": {"1": 1}}, "logit_bias", "unsupported_parameter"),
    ({**COMPLETION, "echo": True, "logprobs": 1}, "echo", "unsupported_parameter"),
    ({**COMPLETION, "temperature": -1}, "temperature", "invalid_value"),
    ({**COMPLETION, "temperature": "hot"}, "temperature", "invalid_value"),
    ({**COMPLETION, "max_tokens": 0}, "max_tokens", "invalid_value"),
    ({**COMPLETION, "max_tokens": 2.5}, "max_tokens", "invalid_value"),
    ({**COMPLETION, "max_tokens": 2**70}, "max_tokens", "invalid_value"),
    ({**COMPLETION, "n": 129}, "n", "invalid_value"),
    ({**COMPLETION, "prompt": ["x"] * 65, "n": 2}, "n", "invalid_value"),
    ({**COMPLETION, "prompt": [1, -1]}, "prompt", "invalid_value"),
    ({**COMPLETION, "prompt": [1, "a"]}, "prompt", "invalid_value"),
    ({**COMPLETION, "prompt": []}, "prompt", "invalid_value"),
    ({**COMPLETION, "stop": [""]}, "stop", "invalid_value"),
    ({**COMPLETION, "stop": ["x"] * 17}, "stop", "invalid_value"),
    ({**COMPLETION, "stream": "yes"}, "stream", "invalid_type"),
    ({**COMPLETION, "stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
    ({"prompt": "x"}, "model", "missing_required_parameter"),
    ({"model": "text"}, "prompt", "missing_required_parameter"),
    ({**COMPLETION, "model": "identity"}, "model", "unsupported_value"),
    ({**CHAT, "tools": []}, "tools", "unsupported_parameter"),
    ({**CHAT, "response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({**CHAT, "top_logprobs": 2}, "top_logprobs", "invalid_value"),
    ({**CHAT, "max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "invalid_value"),
    ({**CHAT, "messages": []}, "messages", "missing_required_parameter"),
    ({**CHAT, "messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({**CHAT, "messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
    ({**CHAT, "messages": [{"role": "user", "content": "x", "y": 1}]}, "messages[0].y", "unknown_parameter"),
    (
        {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].type",
        "unsupported_value",
    ),
]


@pytest.mark.parametrize(("body", "param", "code"), REFUSALS)
def test_refusals_name_the_field(server: Server, body: dict[str, object], param: str, code: str) -> None:
    route = "chat/completions" if "messages" in body else "completions"
    answer = httpx.post(f"{server.url}/v1/{route}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code), error
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_null_means_absent(server: Server) -> None:
    body = {**CHAT, "tools": None, "temperature": None, "response_format": {"type": "text"}, "user": "u"}
    assert httpx.post(server.url + "/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": "\xff"}', b'{"model": NaN}'])
def test_broken_json(server: Server, content: bytes) -> None:
    answer = httpx.post(server.url + "/v1/completions", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_statuses_become_the_clients_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.completions.create(model="gpt", prompt="x")
    assert missing.value.code == "model_not_found"
    for stream in [False, True]:
        with pytest.raises(openai.BadRequestError) as too_long:
            client.completions.create(model="text", prompt=" w" * 65, stream=stream)  # type: ignore[call-overload]
        assert too_long.value.code == "context_length_exceeded"


def test_a_full_queue_is_429(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as full:
        client.completions.create(model="slow", prompt="one two three", n=5)
    assert full.value.code == "queue_full"


def test_unknown_routes_answer_in_openai_form(server: Server) -> None:
    answer = httpx.post(server.url + "/v1/embeddings", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Not Found: no route for /v1/embeddings"


def test_the_log_has_no_secret(client: openai.OpenAI, server: Server) -> None:
    client.completions.create(model="text", prompt="a-private-word")
    assert "sk-secret-key" not in server.log
    assert "a-private-word" not in server.log


def test_restricted_apis(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "text", {"kind": "text"})
    restricted = ["--http-restricted-api", "inference,metadata:admin=secret"]
    server = start_server("--model-repository", tmp_path / "models", *restricted)
    server.wait_ready()
    messages = [{"role": "user", "content": "a"}]
    for method, path, body in [
        ("GET", "models", None),
        ("GET", "models/text", None),
        ("POST", "completions", {"model": "text", "prompt": "a b"}),
        ("POST", "chat/completions", {"model": "text", "messages": messages}),
    ]:
        send = functools.partial(httpx.request, method, f"{server.url}/v1/{path}", json=body)
        refused = send()
        message = "This API is restricted, expecting header 'admin'"
        assert (refused.status_code, refused.json()["error"]["message"]) == (403, message), path
        assert send(headers={"admin": "secret"}).status_code == 200, path
