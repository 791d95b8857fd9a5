"""KServe v2 over gRPC, with the client that people use."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from grpc_requests import grpc, grpcclient, pb, request, service_pb2_grpc, to_input
from server_process import MODELS, Server, StartServer, write_model


def test_server_and_models(client: grpcclient.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("identity") and client.is_model_ready("identity", "1")
    assert not client.is_model_ready("nope") and not client.is_model_ready("identity", "2")
    server = client.get_server_metadata(as_json=True)
    assert server["name"] == "triton"
    assert {"binary_tensor_data", "system_shared_memory", "statistics"} <= set(server["extensions"])
    assert client.get_model_metadata("identity", as_json=True) == {
        "name": "identity",
        "versions": ["1"],
        "platform": "echo",
        "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": ["-1", "2"]}],
        "outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": ["-1", "2"]}],
    }
    index = client.get_model_repository_index(as_json=True)["models"]
    assert {"name": "identity", "version": "1", "state": "READY"} in index
    assert len(index) == len(MODELS)


@pytest.mark.parametrize("rows", [0, 1, 7, 1000, 500_000])
def test_infer_gives_every_bit_back(client: grpcclient.InferenceServerClient, rows: int) -> None:
    """From what fits in a packet to 4 MB, which come in many frames."""
    values = np.random.default_rng(rows).integers(0, 2**32, (rows, 2), dtype=np.uint32).view(np.float32)
    answer = client.infer("identity", [to_input(values, "FP32")], request_id="7")
    assert answer.get_response().id == "7"
    assert answer.as_numpy("OUTPUT0").tobytes() == values.tobytes()


@pytest.mark.parametrize("model", ["strings", "halves", "brains", "integers"])
def test_infer_of_every_kind_of_type(client: grpcclient.InferenceServerClient, model: str) -> None:
    datatype = str(MODELS[model]["datatype"])
    values = {
        "BYTES": np.array([b"", "π".encode(), b"\0\xff" * 5000], dtype=np.object_),
        "FP16": np.array([1.5, np.inf, -0.0], dtype=np.float16),
        "INT8": np.array([-128, 127], dtype=np.int8),
    }
    if datatype == "BF16":  # raw: numpy has no such type
        message = request(model, b"\x80\x3f\x01\x00", datatype="BF16", shape=[2])
        assert client._client_stub.ModelInfer(message).raw_output_contents[0] == b"\x80\x3f\x01\x00"
        return
    answer = client.infer(model, [to_input(values[datatype], datatype)]).as_numpy("OUTPUT0")
    assert answer.tolist() == values[datatype].tolist()


TYPED: list[tuple[str, str, list[object], np.ndarray]] = [
    ("identity", "fp32_contents", [1.5, -2.0], np.array([1.5, -2.0], dtype=np.float32)),
    ("integers", "int_contents", [-128, 127], np.array([-128, 127], dtype=np.int8)),
    ("strings", "bytes_contents", [b"a", b""], np.frombuffer(b"\1\0\0\0a\0\0\0\0", dtype=np.uint8)),
]


@pytest.mark.parametrize(("model", "field", "values", "raw"), TYPED)
def test_typed_contents(
    stub: service_pb2_grpc.GRPCInferenceServiceStub,
    model: str,
    field: str,
    values: list[object],
    raw: np.ndarray,
) -> None:
    shape = [1, 2] if model == "identity" else [2]
    message = request(model, None, datatype=MODELS[model].get("datatype", "FP32"), shape=shape)
    getattr(message.inputs[0].contents, field).extend(values)
    assert stub.ModelInfer(message).raw_output_contents[0] == raw.tobytes()


def change(**parts: Callable[[pb.ModelInferRequest], object]) -> Callable[[], pb.ModelInferRequest]:
    def make() -> pb.ModelInferRequest:
        message = request()
        for alter in parts.values():
            alter(message)
        return message

    return make


def with_parameter(name: str, **value: object) -> Callable[[], pb.ModelInferRequest]:
    def alter(message: pb.ModelInferRequest) -> None:
        message.parameters[name].CopyFrom(pb.InferParameter(**value))

    return change(alter=alter)


SIZE = "input byte size mismatch for input 'INPUT0' for model 'identity'. Expected 16, got "


UNKNOWN = "Request for unknown model: "


INVALID = grpc.StatusCode.INVALID_ARGUMENT


ERRORS: list[tuple[Callable[[], pb.ModelInferRequest], object, str]] = [
    (lambda: request("nope"), grpc.StatusCode.NOT_FOUND, UNKNOWN + "'nope' is not found"),
    (
        change(v=lambda m: setattr(m, "model_version", "2")),
        grpc.StatusCode.NOT_FOUND,
        UNKNOWN + "'identity' version 2 is not found",
    ),
    (
        change(v=lambda m: setattr(m, "model_version", "x")),
        INVALID,
        "version should be an integral value > 0",
    ),
    (
        lambda: request("repeat", shape=[4]),
        grpc.StatusCode.UNIMPLEMENTED,
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
    ),
    (lambda: request(raw=b"\0" * 8), INVALID, SIZE + "8"),
    (lambda: request(raw=b"\0" * 32), INVALID, SIZE + "32"),
    (lambda: request(raw=b""), INVALID, SIZE + "0"),
    (
        lambda: request(raw=None),
        INVALID,
        "unable to find data for input tensor 'INPUT0' for model 'identity' in request.",
    ),
    (
        lambda: request(datatype="INT32"),
        INVALID,
        "inference input 'INPUT0' data-type is 'INT32', but model 'identity' expects 'FP32'",
    ),
    (lambda: request(datatype="FOO"), INVALID, "has unknown data-type 'FOO'"),
    (
        lambda: request(shape=[2, 3], raw=b"\0" * 24),
        INVALID,
        "unexpected shape for input 'INPUT0' for model 'identity'. Expected [-1,2], got [2,3]",
    ),
    (lambda: request(shape=[-2, 2]), INVALID, "got shape [-2,2]"),
    (lambda: request(shape=[2**62, 2]), INVALID, "shape [4611686018427387904,2] has too many elements"),
    (lambda: request(name="X"), INVALID, "unexpected inference input 'X' for model 'identity'"),
    (
        lambda: pb.ModelInferRequest(model_name="identity"),
        INVALID,
        "expected 1 inputs but got 0 inputs for model 'identity'. Got input(s) [], but missing required input(s) "
        "['INPUT0']. Please provide all required input(s).",
    ),
    (
        change(c=lambda m: m.inputs[0].contents.fp32_contents.append(1)),
        INVALID,
        "contents field must not be specified when using raw_input_contents for 'INPUT0' for model 'identity'",
    ),
    (change(r=lambda m: m.raw_input_contents.append(b"")), INVALID, "expected 1 raw_input_contents"),
    (
        change(
            r=lambda m: m.ClearField("raw_input_contents"),
            c=lambda m: m.inputs[0].contents.int_contents.extend([1, 2, 3, 4]),
        ),
        INVALID,
        "unexpected explicit tensor data for input tensor 'INPUT0' for model 'identity' of type 'INT32', "
        "expected datatype 'FP32'",
    ),
    (
        change(o=lambda m: m.outputs.add(name="X")),
        INVALID,
        "unexpected inference output 'X' for model 'identity'",
    ),
    (
        with_parameter("sequence_id", bool_param=True),
        INVALID,
        "invalid value type for 'sequence_id' parameter, expected int64_param or string_param.",
    ),
    (
        with_parameter("priority", string_param="x"),
        INVALID,
        "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
    ),
    (
        with_parameter("timeout", string_param="x"),
        INVALID,
        "invalid value type for 'timeout' parameter, expected int64_param.",
    ),
    (with_parameter("triton_x", int64_param=1), INVALID, "are reserved for Triton usage"),
    (
        with_parameter("foo"),
        INVALID,
        "invalid value type for 'foo' parameter, expected int64_param, bool_param, or string_param.",
    ),
]


@pytest.mark.parametrize(("make", "code", "words"), ERRORS, ids=[words[:40] for _, _, words in ERRORS])
def test_errors(
    stub: service_pb2_grpc.GRPCInferenceServiceStub,
    make: Callable[[], pb.ModelInferRequest],
    code: object,
    words: str,
) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        stub.ModelInfer(make())
    assert (failure.value.code(), words in failure.value.details()) == (code, True), failure.value.details()


def test_garbage_never_ends_the_server(server: Server, client: grpcclient.InferenceServerClient) -> None:
    source = np.random.default_rng(20_260_103)
    whole = bytearray(request(id="x").SerializeToString())
    with grpc.insecure_channel(server.grpc_url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(500):
            message = bytearray(whole)
            for _ in range(source.integers(1, 6)):
                message[source.integers(len(message))] = source.integers(256)
            try:
                infer(bytes(message[: source.integers(1, len(message) + 1)]))
            except grpc.RpcError as error:
                assert error.code() in (INVALID, grpc.StatusCode.NOT_FOUND), (bytes(message), error)
    assert client.is_server_live()


def test_classification(client: grpcclient.InferenceServerClient) -> None:
    output = grpcclient.InferRequestedOutput("OUTPUT0", class_count=2)
    values = np.array([[1, 4], [-3, 4]], dtype=np.float32)
    answer = client.infer("identity", [to_input(values, "FP32")], outputs=[output])
    assert answer.as_numpy("OUTPUT0").tolist() == [b"4.000000:1", b"4.000000:3"]


def test_many_at_once(server: Server) -> None:
    import tritonclient.grpc.aio as aio

    async def ask_all() -> None:
        async with aio.InferenceServerClient(server.grpc_url) as client:

            async def ask(number: int) -> None:
                values = np.full((number % 50 + 1, 2), number, dtype=np.float32)
                answer = await client.infer("identity", [to_input(values, "FP32")])
                assert (answer.as_numpy("OUTPUT0") == values).all()

            await asyncio.gather(*[ask(number) for number in range(500)])

    asyncio.run(ask_all())


def test_classification_with_labels(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "m", {"shape": [3]})
    (tmp_path / "models/m/labels.txt").write_text("cat\ndog\n")
    (tmp_path / "models/m/config.pbtxt").write_text(
        'backend: "echo"\n'
        'input [{ name: "INPUT0" data_type: TYPE_FP32 dims: [3] }]\n'
        'output [{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt" }]\n'
    )
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        output = grpcclient.InferRequestedOutput("OUTPUT0", class_count=2)
        values = np.array([1, 2, 3], dtype=np.float32)
        answer = client.infer("m", [to_input(values, "FP32")], outputs=[output]).as_numpy("OUTPUT0")
    assert answer.tolist() == [b"3.000000:2", b"2.000000:1:dog"]


def test_metadata_of_one_version_names_no_other(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "identity", {})
    model = tmp_path / "models/identity"
    shutil.copytree(model / "1", model / "2")
    (model / "config.pbtxt").write_text('backend: "echo" version_policy { all { } }')
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        assert client.get_model_metadata("identity", as_json=True)["versions"] == ["1", "2"]
        assert client.get_model_metadata("identity", "1", as_json=True)["versions"] == ["1"]
