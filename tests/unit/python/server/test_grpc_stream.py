"""Streams over gRPC, and what ends requests early: clients that go, deadlines, limits, the server's end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from grpc_requests import Collected, grpc, grpcclient, request, service_pb2_grpc, to_input
from server_process import PATIENCE, Server, StartServer, write_model
from tritonclient.utils import InferenceServerException


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
        expected = "" if model == "identity" else "Request for unknown model: 'nope' is not found"
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
