"""KServe v2 over gRPC, with the client that people use."""

from __future__ import annotations

import asyncio
import queue
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from server_process import MODELS, PATIENCE, Server, StartServer, write_model

grpc = pytest.importorskip("grpc")
grpcclient = pytest.importorskip("tritonclient.grpc", exc_type=Exception)
from tritonclient.grpc import service_pb2 as pb  # noqa: E402
from tritonclient.grpc import service_pb2_grpc  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[grpcclient.InferenceServerClient]:
    with grpcclient.InferenceServerClient(server.grpc_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.grpc_url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def to_input(values: np.ndarray, datatype: str, name: str = "INPUT0") -> grpcclient.InferInput:
    tensor = grpcclient.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def request(
    model: str = "identity", raw: bytes | None = b"\0" * 16, **fields: object
) -> pb.ModelInferRequest:
    """A request of one tensor; `fields` change it."""
    message = pb.ModelInferRequest(model_name=model, id=str(fields.get("id", "")))
    tensor = message.inputs.add(name=fields.get("name", "INPUT0"), datatype=fields.get("datatype", "FP32"))
    tensor.shape.extend(fields.get("shape", [2, 2]))
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


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


def test_standard_health_check(server: Server) -> None:
    with grpc.insecure_channel(server.grpc_url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b"\x08\x01", "SERVING"
        assert check(b"\x0a\x03any") == b"\x08\x01"


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


class Collected:
    """The responses of a stream, one after another."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[object, object]] = queue.Queue()

    def __call__(self, result: object, error: object) -> None:
        self._queue.put((result, error))

    def next(self) -> object:
        result, error = self._queue.get(timeout=PATIENCE)
        if error is not None:
            raise error  # type: ignore[misc]
        return result.get_response()  # type: ignore[attr-defined]


def test_stream_of_a_decoupled_model(client: grpcclient.InferenceServerClient) -> None:
    answers = Collected()
    values = np.array([1, 2], dtype=np.float32)
    client.start_stream(answers)
    client.async_stream_infer(
        "repeat", [to_input(values, "FP32")], request_id="a", enable_empty_final_response=True
    )
    responses = [answers.next() for _ in range(3)]
    client.stop_stream()
    assert [r.id for r in responses] == ["a"] * 3  # type: ignore[attr-defined]
    finals = [r.parameters["triton_final_response"].bool_param for r in responses]  # type: ignore[attr-defined]
    assert finals == [False, False, True]
    assert all(r.raw_output_contents[0] == values.tobytes() for r in responses)  # type: ignore[attr-defined]


def test_stream_of_text(client: grpcclient.InferenceServerClient) -> None:
    answers = Collected()
    client.start_stream(answers)
    prompt = np.array(["one two three"], dtype=np.object_)
    client.async_stream_infer("text", [to_input(prompt, "BYTES", "text_input")], parameters={"max_tokens": 2})
    first, second = answers.next(), answers.next()
    client.stop_stream()
    texts = [r.raw_output_contents[0][4:] for r in (first, second)]  # type: ignore[attr-defined]
    assert b"".join(texts) == b"one two"
    assert second.parameters["finish_reason"].string_param == "length"  # type: ignore[attr-defined]


def test_stream_keeps_the_order_of_requests(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
    """Answers of one each, from models that are not equally quick and with failures between."""
    models = ["identity", "nope", "identity"] * 50
    requests = [request(model, id=str(i)) for i, model in enumerate(models)]
    responses = list(stub.ModelStreamInfer(iter(requests)))
    assert [r.infer_response.id for r in responses] == [str(i) for i in range(len(models))]
    for model, response in zip(models, responses, strict=True):
        expected = "" if model == "identity" else UNKNOWN + "'nope' is not found"
        assert response.error_message == expected


def test_stream_ends_with_a_status_where_the_client_asks(
    stub: service_pb2_grpc.GRPCInferenceServiceStub,
) -> None:
    stream = stub.ModelStreamInfer(iter([request("nope")]), metadata=[("triton_grpc_error", "true")])
    with pytest.raises(grpc.RpcError) as failure:
        list(stream)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_client_that_goes_cancels_its_requests(server: Server) -> None:
    label = '{model="slow",version="1"}'
    before = server.metrics()["echo_cancelled_total" + label]
    prompt = grpcclient.InferInput("text_input", [1], "BYTES")
    prompt.set_data_from_numpy(np.array([" word" * 2000], dtype=np.object_))
    client = grpcclient.InferenceServerClient(server.grpc_url)
    answers = Collected()
    client.start_stream(answers)
    client.async_stream_infer("slow", [prompt], parameters={"max_tokens": 2000})
    answers.next()
    client.stop_stream(cancel_requests=True)
    server.wait_until(
        lambda: server.metrics()["echo_cancelled_total" + label] == before + 1, "the backend sees it"
    )
    client.close()


def test_a_deadline_that_passes_cancels_the_request(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "late", {"delay_ms": 60_000})
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        values = to_input(np.zeros(1, dtype=np.float32), "FP32")
        with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
            client.infer("late", [values], client_timeout=0.2)


def test_the_server_limits_time_and_number(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "late", {"delay_ms": 60_000})
    limits = ["--request-timeout", "0.3", "--grpc-max-requests", "2"]
    server = start_server("--model-repository", tmp_path / "models", *limits)
    server.wait_ready()
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request("late", b"\0\0\0\0", shape=[1])) for _ in range(3)]
        codes = sorted(call.exception(PATIENCE).code().name for call in calls)
    assert codes == ["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "UNAVAILABLE"]


def test_messages_that_are_too_large_are_refused(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "identity", {})
    server = start_server("--model-repository", tmp_path / "models", "--grpc-max-message-size", "1000")
    server.wait_ready()
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failure:
            stub.ModelInfer(request(raw=b"\0" * 2000, shape=[500]))
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_under_way_is_finished_at_the_end(
    start_server: StartServer, tmp_path: Path, stream: bool
) -> None:
    write_model(tmp_path / "models", "late", {"delay_ms": 500})
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    message = request("late", b"\0\0\0\0", shape=[1])
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        in_flight = 'zeta_inference_in_flight{model="late",version="1"}'
        if stream:
            responses = stub.ModelStreamInfer(iter([message]))
        else:
            call = stub.ModelInfer.future(message)
        server.wait_until(lambda: server.metrics()[in_flight] == 1, "the request is under way")
        assert server.stop() == 0
        if stream:
            assert next(responses).infer_response.model_name == "late"
        else:
            assert call.result(PATIENCE).model_name == "late"


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


def test_restricted_protocols_and_forwarded_headers(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "text", {"kind": "text"})
    restricted = ["--grpc-restricted-protocol", "model-repository,statistics:admin=secret"]
    forward = ["--grpc-header-forward-pattern", "max_.*"]
    server = start_server("--model-repository", tmp_path / "models", *restricted, *forward)
    server.wait_ready()
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        expected = "This protocol is restricted, expecting header 'triton-grpc-protocol-admin'"
        with pytest.raises(InferenceServerException, match=expected):
            client.get_model_repository_index()
        client.get_model_repository_index(headers={"triton-grpc-protocol-admin": "secret"})
        assert client.is_server_live()
        answers = Collected()
        # Forwarded headers are text, which the model refuses as a number of tokens.
        client.start_stream(answers, headers={"max_tokens": "2", "other": "2"})
        prompt = np.array(["one two"], dtype=np.object_)
        client.async_stream_infer("text", [to_input(prompt, "BYTES", "text_input")])
        with pytest.raises(InferenceServerException, match="parameter 'max_tokens'"):
            answers.next()
        client.stop_stream()


def test_logging_and_traces(client: grpcclient.InferenceServerClient) -> None:
    settings = client.get_log_settings(as_json=True)["settings"]
    assert settings["log_format"] == {"string_param": "default"}
    changed = client.update_log_settings({"log_verbose_level": 1}, as_json=True)["settings"]
    assert changed["log_verbose_level"] == {"uint32_param": 1}
    client.update_log_settings({"log_verbose_level": 0})
    with pytest.raises(InferenceServerException, match="log file location can not be updated"):
        client.update_log_settings({"log_file": "/tmp/x"})
    traces = client.update_trace_settings(settings={"trace_rate": "5"}, as_json=True)["settings"]
    assert traces["trace_rate"] == {"value": ["5"]}
    with pytest.raises(InferenceServerException, match="trace file name is not given"):
        client.update_trace_settings(model_name="identity", settings={"trace_level": ["TIMESTAMPS"]})
    with pytest.raises(InferenceServerException, match="Request for unknown model : nope"):
        client.get_trace_settings("nope")
    reset = client.update_trace_settings(settings={"trace_rate": None}, as_json=True)["settings"]
    assert reset["trace_rate"] == {"value": ["1000"]}


def test_configuration_and_statistics(server: Server, client: grpcclient.InferenceServerClient) -> None:
    config = client.get_model_config("identity", as_json=True)["config"]
    assert (config["name"], config["backend"]) == ("identity", "echo")
    before = client.get_inference_statistics("identity").model_stats[0]
    client.infer("identity", [to_input(np.zeros((1, 2), dtype=np.float32), "FP32")])
    with pytest.raises(InferenceServerException):
        client.infer("identity", [to_input(np.zeros((1, 3), dtype=np.float32), "FP32")])
    after = client.get_inference_statistics("identity").model_stats[0]
    assert (after.name, after.version) == ("identity", "1")
    assert after.inference_count == before.inference_count + 1
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.inference_stats.fail.count == before.inference_stats.fail.count + 1
    assert len(client.get_inference_statistics().model_stats) == len(MODELS)
    with pytest.raises(InferenceServerException, match="'nope'"):
        client.get_model_config("nope")
    with pytest.raises(InferenceServerException, match="requested model 'nope' is not available"):
        client.get_inference_statistics("nope")


def test_repository_control(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "m", {"shape": [-1, 2]})
    server = start_server("--model-repository", tmp_path / "models", "--model-control-mode=explicit")
    server.wait_ready()
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        assert not client.is_model_ready("m")
        client.load_model("m", config='{"backend": "echo", "max_batch_size": 8}')
        assert client.get_model_config("m").config.max_batch_size == 8
        values = np.array([[1, 2], [4, 3]], dtype=np.float32)
        output = grpcclient.InferRequestedOutput("OUTPUT0", class_count=1)
        answer = client.infer("m", [to_input(values, "FP32")], outputs=[output]).as_numpy("OUTPUT0")
        assert answer.tolist() == [[b"2.000000:1"], [b"4.000000:0"]], "each element of a batch by itself"
        files = {"file:1/echo.json": b'{"datatype": "INT8"}'}
        client.load_model("made", config='{"backend": "echo"}', files=files)
        assert client.get_model_metadata("made").inputs[0].datatype == "INT8"
        client.unload_model("m")
        assert not client.is_model_ready("m")
        with pytest.raises(InferenceServerException, match="failed to load 'none'"):
            client.load_model("none")
    assert server.stop() == 0


def make_certificates(folder: Path) -> None:
    """ca.pem; server.pem and client.pem signed by it, with their keys."""
    import subprocess

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ["req", "-newkey", "rsa:2048", "-nodes"]
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for who in ("server", "client"):
        openssl(*new, "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{who}.csr", "-out", f"{who}.pem", *signed)


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(start_server: StartServer, tmp_path: Path, mutual: bool) -> None:
    make_certificates(tmp_path)
    write_model(tmp_path / "models", "identity", {})
    files = ["--grpc-server-cert", tmp_path / "server.pem", "--grpc-server-key", tmp_path / "server.key"]
    authorities = ["--grpc-use-ssl-mutual", "true", "--grpc-root-cert", tmp_path / "ca.pem"]
    flags = [*files, *(authorities if mutual else ["--grpc-use-ssl", "true"])]
    server = start_server("--model-repository", tmp_path / "models", *flags)
    server.wait_ready()

    def live(**credentials: str) -> bool:
        with grpcclient.InferenceServerClient(
            server.grpc_url, ssl=bool(credentials), **credentials
        ) as client:
            return bool(client.is_server_live(client_timeout=PATIENCE))

    ca = str(tmp_path / "ca.pem")
    own = {"private_key": str(tmp_path / "client.key"), "certificate_chain": str(tmp_path / "client.pem")}
    assert live(root_certificates=ca, **own)
    for refused in [{}, *([{"root_certificates": ca}] if mutual else [])]:
        with pytest.raises(InferenceServerException):
            live(**refused)


def test_files_that_are_no_certificates(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "identity", {})
    flags = ["--grpc-use-ssl", "true", "--grpc-server-key", "/no/such/key", "--grpc-server-cert", "/dev/null"]
    server = start_server("--model-repository", tmp_path / "models", *flags)
    assert server.process.wait(PATIENCE) == 1
    assert "cannot read '/no/such/key' (--grpc-server-key)" in server.log


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
