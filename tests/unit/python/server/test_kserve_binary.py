"""KServe v2 over HTTP beyond JSON: binary tensors, compression, classification, and who may do what."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
from server_process import Server, StartServer, write_model

VALUES = np.array([[0, 1], [2, 3]], dtype=np.float32)
LENGTH = "Inference-Header-Content-Length"


def body(parameters: object = None, output: object = None, **fields: object) -> dict[str, object]:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [2, 2]}
    if parameters is not None:
        tensor["parameters"] = parameters
    else:
        tensor["data"] = VALUES.tolist()
    outputs = {} if output is None else {"outputs": [{"name": "OUTPUT0", "parameters": output}]}
    return {"inputs": [tensor], **outputs, **fields}


def post(server: Server, head: object, raw: bytes = b"", **headers: str) -> httpx.Response:
    content = json.dumps(head).encode()
    sent = {LENGTH: str(len(content)), "Accept-Encoding": "identity", **headers}
    return httpx.post(server.url + "/v2/models/identity/infer", content=content + raw, headers=sent)


BINARY = {"binary_data_size": 16}


@pytest.mark.parametrize(
    ("head", "binary"),
    [
        (body(BINARY), False),
        (body(BINARY, {"binary_data": True}), True),
        (body(BINARY, {"binary_data": False}), False),
    ],
)
def test_binary_in_and_out(server: Server, head: dict[str, object], binary: bool) -> None:
    answer = post(server, head, VALUES.tobytes())
    assert answer.status_code == 200, answer.text
    if binary:
        size = int(answer.headers[LENGTH])
        assert answer.headers["content-type"] == "application/octet-stream"
        output = json.loads(answer.content[:size])["outputs"][0]
        assert output["parameters"] == {"binary_data_size": 16} and "data" not in output
        assert answer.content[size:] == VALUES.tobytes()
    else:
        assert LENGTH not in answer.headers
        assert answer.json()["outputs"][0]["data"] == VALUES.ravel().tolist()


def test_binary_output_of_all_unless_one_says_otherwise(server: Server) -> None:
    asked = {"parameters": {"binary_data_output": True}}
    answer = post(server, body() | asked)
    assert answer.content.endswith(VALUES.tobytes())
    answer = post(server, body(output={"binary_data": False}) | asked)
    assert answer.json()["outputs"][0]["data"] == VALUES.ravel().tolist()


@pytest.mark.parametrize("padding", range(4))
def test_large_binary_tensors_wherever_they_begin(server: Server, padding: int) -> None:
    values = np.random.default_rng(7).random((1_000_000, 2), dtype=np.float32)
    head = {
        "id": "x" * padding,
        "inputs": [
            {
                "name": "INPUT0",
                "datatype": "FP32",
                "shape": [1_000_000, 2],
                "parameters": {"binary_data_size": 8_000_000},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    answer = post(server, head, values.tobytes())
    assert answer.content[int(answer.headers[LENGTH]) :] == values.tobytes()


RAW = VALUES.tobytes()
ONLY = "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
ERRORS: list[tuple[object, bytes, str]] = [
    (
        body(BINARY),
        RAW[:8],
        "unexpected size for input 'INPUT0', expecting 8 additional bytes for model 'identity'",
    ),
    (body(BINARY), RAW * 2, "unexpected additional input data for model 'identity'"),
    (
        body({"binary_data_size": 8}),
        RAW[:8],
        "input byte size mismatch for input 'INPUT0' for model 'identity'. Expected 16, got 8",
    ),
    (
        body({"binary_data_size": -1}),
        RAW,
        "Unable to parse 'binary_data_size': expected an integer of at least 0",
    ),
    (
        body({"binary_data_size": "x"}),
        RAW,
        "Unable to parse 'binary_data_size': expected an integer of at least 0",
    ),
    (body({"binary_data_size": 2**63}), RAW, "expecting 9223372036854775792 additional bytes"),
    (body({}), b"", ONLY + "'shared_memory_region' in 'parameters'. But no field is set"),
    (body({"color": 1}), b"", "input 'INPUT0': parameter 'color' is not supported"),
    (body(output={"classification": 0}), b"", "'classification' parameter must be > 0"),
    (body(output={"classification": "x"}), b"", "Unable to parse 'classification'"),
    (body(output={"color": 1}), b"", "output 'OUTPUT0': parameter 'color' is not supported"),
    (body() | {"parameters": {"sequence_id": 1.5}}, b"", "Unable to parse 'sequence_id'"),
    (body() | {"parameters": {"sequence_start": 1}}, b"", "Unable to parse 'sequence_start'"),
    (body() | {"parameters": {"priority": -1}}, b"", "Unable to parse 'priority'"),
    (body() | {"parameters": {"timeout": "x"}}, b"", "Unable to parse 'timeout'"),
    (body() | {"parameters": {"triton_x": 1}}, b"", "are reserved for Triton usage"),
]


@pytest.mark.parametrize(("head", "raw", "words"), ERRORS, ids=[words[:40] for _, _, words in ERRORS])
def test_errors(server: Server, head: object, raw: bytes, words: str) -> None:
    answer = post(server, head, raw)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text


def test_data_and_binary_contradict_each_other(server: Server) -> None:
    head = body(BINARY)
    head["inputs"][0]["data"] = [1, 2, 3, 4]  # type: ignore[index]
    answer = post(server, head, RAW)
    assert answer.json()["error"].endswith("But set 'data' 'binary_data_size'")


@pytest.mark.parametrize("length", ["100000", "-1", "abc", "0", "99999999999999999999"])
def test_bad_header_lengths(server: Server, length: str) -> None:
    answer = post(server, body(BINARY), RAW, **{LENGTH: length})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("inference header size should be in range (0, ")
    assert answer.json()["error"].endswith(f"got: {length}")


def test_classification(server: Server) -> None:
    answer = post(server, body(output={"classification": 3})).json()["outputs"][0]
    assert (answer["datatype"], answer["shape"]) == ("BYTES", [3])
    assert answer["data"] == ["3.000000:3", "2.000000:2", "1.000000:1"]


def test_parameters_of_schedulers_reach_models_that_have_none(server: Server) -> None:
    parameters = {"sequence_id": "a", "sequence_start": True, "priority": 1, "timeout": 1000}
    assert post(server, body(parameters=None) | {"parameters": parameters}).status_code == 200


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_requests(server: Server, name: str, pack: object) -> None:
    head = json.dumps(body(BINARY)).encode()
    packed = pack(head + RAW)  # type: ignore[operator]
    url = server.url + "/v2/models/identity/infer"
    headers = {"Content-Encoding": name, LENGTH: str(len(head))}
    answer = httpx.post(url, content=packed, headers=headers)
    assert answer.json()["outputs"][0]["data"] == VALUES.ravel().tolist()
    for damaged in [packed[:-5], packed[:20] + b"\0\0" + packed[22:], b"garbage", packed + b"more"]:
        refused = httpx.post(url, content=damaged, headers=headers)
        assert (refused.status_code, refused.json()["error"].startswith("the request body is damaged")) == (
            400,
            True,
        )


def test_a_body_that_unpacks_to_too_much(server: Server) -> None:
    packed = gzip.compress(b"\0" * (65 << 20))
    answer = httpx.post(
        server.url + "/v2/models/identity/infer", content=packed, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 413
    assert "exceeds 67108864 bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    ("accept", "coding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip;q=0.1, deflate", "deflate"), ("br", None)],
)
def test_compressed_responses(server: Server, accept: str, coding: str | None) -> None:
    rows = 1000
    head = {
        "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [rows, 2], "data": [0] * (rows * 2)}],
        "parameters": {"binary_data_output": True},
    }
    answer = post(server, head, **{"Accept-Encoding": accept})
    assert answer.headers.get("content-encoding") == coding
    assert answer.content[int(answer.headers[LENGTH]) :] == b"\0" * (rows * 8)  # httpx has unpacked it


def test_restricted_apis_and_forwarded_headers(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "text", {"kind": "text"})
    write_model(tmp_path / "models", "identity", {})
    restricted = ["--http-restricted-api", "model-repository:admin=secret"]
    forward = ["--http-header-forward-pattern", "max_.*"]
    server = start_server("--model-repository", tmp_path / "models", *restricted, *forward)
    server.wait_ready()
    index = server.url + "/v2/repository/index"
    refused = httpx.post(index)
    assert (refused.status_code, refused.json()) == (
        403,
        {"error": "This API is restricted, expecting header 'admin'"},
    )
    assert httpx.post(index, headers={"admin": "wrong!"}).status_code == 403
    assert httpx.post(index, headers={"Admin": "secret"}).status_code == 200
    assert httpx.get(server.url + "/v2").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http-restricted-api", "model-repository"], "expected API[,API]:HEADER=VALUE"),
        (["--http-restricted-api", "admin:a=b"], "unknown API 'admin'"),
        (["--grpc-restricted-protocol", "health,health:a=b"], "the API 'health' is restricted twice"),
        (["--grpc-header-forward-pattern", "("], "is no regular expression"),
        (["--grpc-use-ssl", "true"], "--grpc-server-cert"),
        (["--grpc-infer-response-compression-level", "extreme"], "--grpc-infer-response-compression-level"),
    ],
)
def test_wrong_command_lines(start_server: StartServer, arguments: list[str], words: str) -> None:
    server = start_server("--model-repository", "/", *arguments)
    assert server.process.wait(30) == 2
    assert words in server.log


def test_logging_and_traces(server: Server) -> None:
    url = server.url + "/v2/logging"
    assert httpx.get(url).json()["log_verbose_level"] == 0
    assert httpx.post(url, json={"log_verbose_level": 1}).json()["log_verbose_level"] == 1
    httpx.get(server.url + "/v2")
    server.wait_until(lambda: "path=/v2 " in server.log, "requests are logged from now on")
    assert httpx.post(url, json={"log_verbose_level": 0}).json()["log_verbose_level"] == 0
    assert httpx.post(url, json={"log_info": "x"}).json() == {"error": "expect boolean for 'log_info'"}
    traces = server.url + "/v2/trace/setting"
    assert httpx.get(traces).json()["trace_level"] == ["OFF"]
    assert httpx.post(traces, json={"trace_rate": "5"}).json()["trace_rate"] == "5"
    of_model = server.url + "/v2/models/identity/trace/setting"
    assert httpx.get(of_model).json()["trace_rate"] == "5"
    assert httpx.post(of_model, json={"trace_rate": "7"}).json()["trace_rate"] == "7"
    assert httpx.post(of_model, json={"trace_rate": None}).json()["trace_rate"] == "5"
    assert httpx.post(traces, json={"trace_rate": None}).json()["trace_rate"] == "1000"
    assert httpx.post(traces, json={"trace_rate": "x"}).json() == {
        "error": "Unable to parse 'trace_rate', got: x"
    }
    refused = httpx.get(server.url + "/v2/models/nope/trace/setting")
    assert (refused.status_code, refused.json()) == (400, {"error": "Request for unknown model : nope"})
