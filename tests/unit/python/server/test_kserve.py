"""KServe v2 over HTTP: what is answered, word for word."""

from __future__ import annotations

import json

import httpx
import pytest
from server_process import MODELS, Server


def tensor(data: object, shape: list[int], datatype: str = "FP32", name: str = "INPUT0") -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def infer(server: Server, model: str, *inputs: object, **fields: object) -> httpx.Response:
    body = json.dumps({"inputs": inputs, **fields})
    return httpx.post(f"{server.url}/v2/models/{model}/infer", content=body)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/health", "/v2/models/text/ready"])
def test_health_is_an_empty_200(server: Server, path: str) -> None:
    response = httpx.get(server.url + path)
    assert (response.status_code, response.content) == (200, b"")


def test_metadata(server: Server) -> None:
    assert httpx.get(server.url + "/v2").json()["name"] == "triton"
    for path in ["/v2/models/identity", "/v2/models/identity/versions/1"]:
        assert httpx.get(server.url + path).json() == {
            "name": "identity",
            "versions": ["1"],
            "platform": "echo",
            "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": [-1, 2]}],
        }


def test_repository_index(server: Server) -> None:
    index = httpx.post(server.url + "/v2/repository/index", json={"ready": True}).json()
    assert {"name": "text", "version": "1", "state": "READY"} in index
    assert len(index) == len(MODELS)


def test_infer_gives_every_bit_back(server: Server) -> None:
    values = [[1.5, -0.1], [3.4028234e38, 1e-45]]
    response = infer(server, "identity", tensor(values, [2, 2]), id="7")
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert (body["id"], body["model_name"], body["model_version"]) == ("7", "identity", "1")
    assert body["outputs"] == [
        {"name": "OUTPUT0", "datatype": "FP32", "shape": [2, 2], "data": [1.5, -0.1, 3.4028235e38, 1e-45]}
    ]


def test_infer_of_text_and_small_integers(server: Server) -> None:
    strings = ["", 'π \u0000 "quoted"', "line\n"]
    answer = infer(server, "strings", tensor(strings, [3], "BYTES")).json()
    assert answer["outputs"][0]["data"] == strings
    answer = infer(server, "integers", tensor([-128, 127], [2], "INT8")).json()
    assert answer["outputs"][0]["data"] == [-128, 127]


def test_empty_tensor_and_requested_outputs(server: Server) -> None:
    answer = infer(server, "identity", tensor([], [0, 2]), outputs=[{"name": "OUTPUT0"}]).json()
    assert answer["outputs"][0]["data"] == []


GOOD = tensor([1, 2], [1, 2])
UNKNOWN = "Request for unknown model: "
ID = "[request id: <id_unknown>] "
JSON_ERROR = "failed to parse the request JSON buffer: "
ERRORS: list[tuple[str, object, int, str]] = [
    ("nope", {"inputs": [GOOD]}, 404, UNKNOWN + "'nope' is not found"),
    ("identity/versions/2", {"inputs": [GOOD]}, 404, UNKNOWN + "'identity' version 2 is not found"),
    (
        "identity/versions/-1",
        {"inputs": [GOOD]},
        400,
        "failed to get model version from specified version string '-1', version should be an integral value > 0",
    ),
    ("repeat", {}, 501, "HTTP end point doesn't support models with decoupled transaction policy"),
    ("identity", "{", 400, JSON_ERROR + "incomplete JSON at 1"),
    ("identity", "", 400, JSON_ERROR + "incomplete JSON at 0"),
    ("identity", "[1]", 400, JSON_ERROR + "expected an object"),
    ("identity", '{"inputs": [NaN]}', 400, JSON_ERROR + "syntax error at 12"),
    ("identity", "[" * 40, 400, JSON_ERROR + "too deep at 32"),
    ("identity", '{"x": 1e999}', 400, JSON_ERROR + "a number is out of range"),
    ("identity", b'{"\xff": 1}', 400, JSON_ERROR + "syntax error at 2"),
    ("identity", {}, 400, "Unable to parse 'inputs': expected an array"),
    ("identity", {"inputs": [1]}, 400, "Unable to parse 'inputs': expected an array of objects"),
    ("identity", {"inputs": [{}]}, 400, "Unable to parse 'name': expected a string"),
    (
        "identity",
        {"inputs": [tensor([1, 2], [1, 2], "FLOAT")]},
        400,
        "input 'INPUT0' has unknown datatype 'FLOAT'",
    ),
    (
        "identity",
        {"inputs": [tensor([1, 2], [1, 2], name="X")]},
        400,
        "unexpected inference input 'X' for model 'identity'",
    ),
    (
        "identity",
        {"inputs": [tensor([1, 2, 3], [1, 3])]},
        400,
        ID + "unexpected shape for input 'INPUT0' for model 'identity'. Expected [-1,2], got [1,3]. ",
    ),
    (
        "identity",
        {"inputs": [tensor([1], [1, 2])]},
        400,
        "Unable to parse 'data': Shape does not match true shape of 'data' field: input 'INPUT0' of shape [1,2] "
        "has 2 elements, got 1",
    ),
    (
        "identity",
        {"inputs": [tensor([], [-1, 2])]},
        400,
        "expected dimensions ≥ 0, got shape [-1,2]",
    ),
    (
        "identity",
        {"inputs": [tensor([], [2**62, 2])]},
        400,
        "shape [4611686018427387904,2] has too many elements",
    ),
    (
        "identity",
        {"inputs": [tensor([1, 2], [1, 2], "INT32")]},
        400,
        ID + "inference input 'INPUT0' data-type is 'INT32', but model 'identity' expects 'FP32'",
    ),
    (
        "identity",
        {"inputs": [tensor(["a", "b"], [1, 2])]},
        400,
        "Unable to parse 'data': input 'INPUT0' holds a value that is not a FP32",
    ),
    (
        "identity",
        {"inputs": [tensor([1e39, 0], [1, 2])]},
        400,
        "Unable to parse 'data': input 'INPUT0' holds a value that is not a FP32",
    ),
    (
        "integers",
        {"inputs": [tensor([128], [1], "INT8")]},
        400,
        "Unable to parse 'data': input 'INPUT0' holds a value that is not a INT8",
    ),
    (
        "halves",
        {"inputs": [tensor([1], [1], "FP16")]},
        400,
        "sending FP16 data via JSON is not supported. Please use the binary data format for input INPUT0",
    ),
    (
        "identity",
        {"inputs": []},
        400,
        ID + "expected 1 inputs but got 0 inputs for model 'identity'. Got input(s) [], but missing required "
        "input(s) ['INPUT0']. Please provide all required input(s).",
    ),
    (
        "identity",
        {"inputs": [GOOD], "outputs": [{"name": "X"}]},
        400,
        "unexpected inference output 'X' for model 'identity'",
    ),
]


@pytest.mark.parametrize(("model", "body", "status", "message"), ERRORS)
def test_errors(server: Server, model: str, body: object, status: int, message: str) -> None:
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    response = httpx.post(f"{server.url}/v2/models/{model}/infer", content=content)
    assert (response.status_code, response.json()) == (status, {"error": message})


def test_routes_and_methods(server: Server) -> None:
    missing = httpx.get(server.url + "/v2/none")
    assert (missing.status_code, missing.json()) == (404, {"error": "Not Found: no route for /v2/none"})
    wrong = httpx.get(server.url + "/v2/models/identity/infer")
    assert (wrong.status_code, wrong.json()) == (405, {"error": "Method Not Allowed"})
    assert wrong.headers["allow"] == "POST"


def test_generate_joins_the_pieces(server: Server) -> None:
    body = {"text_input": "one two three", "parameters": {"max_tokens": 2}}
    answer = httpx.post(server.url + "/v2/models/text/generate", json=body).json()
    assert answer == {
        "model_name": "text",
        "model_version": "1",
        "text_output": "one two",
        "token_ids": [0, 1],
        "finish_reason": "length",
        "prompt_tokens": 3,
        "completion_tokens": 2,
    }


def test_generate_wants_one_response_of_other_models(server: Server) -> None:
    answer = httpx.post(server.url + "/v2/models/repeat/generate", json={"INPUT0": 1})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("generate expects model to produce exactly 1 response")
    answer = httpx.post(server.url + "/v2/models/strings/generate", json={"INPUT0": ["a", "b"]})
    assert answer.json() == {"model_name": "strings", "model_version": "1", "OUTPUT0": ["a", "b"]}


def test_generate_stream_is_server_sent_events(server: Server) -> None:
    body = {"text_input": "one two three", "max_tokens": 3}
    answer = httpx.post(server.url + "/v2/models/text/generate_stream", json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    pieces = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "".join(piece["text_output"] for piece in pieces) == "one two three"
    assert pieces[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"text_input": "a", "top_q": 1}, "parameter 'top_q' is unknown or has the wrong type"),
        ({}, "expected exactly one of text_input, messages and input_ids, got 0 inputs"),
        ({"text_input": "a ", "x": [1]}, "parameter 'x' must be a string, a number or a boolean"),
        ({"text_input": " w" * 65}, "expected a prompt of at most 64 tokens, got 65"),
        ({"messages": "[]"}, "expected 'messages' to be a JSON array of {role, content}, not empty"),
        ({"text_input": "a", "stop": "{"}, "expected 'stop' to be a JSON array of strings"),
        ({"text_input": "a", "stop": "[1]"}, "expected 'stop' to be a JSON array of strings"),
    ],
)
@pytest.mark.parametrize("route", ["generate", "generate_stream"])
def test_generate_errors(server: Server, route: str, body: dict[str, object], message: str) -> None:
    answer = httpx.post(f"{server.url}/v2/models/text/{route}", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})
