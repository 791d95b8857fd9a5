"""Traces of requests, in Triton's JSON and as OpenTelemetry's spans."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from otlp_collector import collector
from server_process import PATIENCE, Server, StartServer, program, write_model

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = {
    "id": "r1",
    "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}],
}
COMPUTE = ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("identity", "other"):
        write_model(tmp_path / "models", name, {"kind": "identity", "shape": [-1, 2]})
    write_model(tmp_path / "models", "many", {"kind": "repeat", "times": 3})
    return tmp_path / "models"


def infer(server: Server, model: str = "identity", **headers: str) -> None:
    response = httpx.post(f"{server.url}/v2/models/{model}/infer", json=BODY, headers=headers)
    assert response.status_code == 200, response.text


def infer_over_grpc(server: Server, headers: dict[str, str] | None = None) -> None:
    value = grpcclient.InferInput("INPUT0", [1, 2], "FP32")
    value.set_data_from_numpy(np.array([[1.5, 2.5]], dtype=np.float32))
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        client.infer("identity", [value], request_id="g1", headers=headers)


def by_id(path: Path) -> dict[int, dict[str, object]]:
    """What a file of traces says of each: its head, its timestamps, its tensors."""
    traces: dict[int, dict[str, object]] = {}
    for entry in json.loads(path.read_text()):
        trace = traces.setdefault(entry["id"], {"times": {}, "tensors": []})
        if "timestamps" in entry:
            trace["times"] |= {stamp["name"]: stamp["ns"] for stamp in entry["timestamps"]}
        elif "tensor" in entry:
            trace["tensors"].append((entry["activity"], entry["tensor"]))
        else:
            trace |= entry
    return traces


def is_written(path: Path, count: int) -> bool:
    return path.exists() and len(by_id(path)) == count


def test_timestamps_and_tensors_in_a_file(start_server: StartServer, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    config = [f"triton,file={path}", "rate=1", "level=TIMESTAMPS", "level=TENSORS"]
    flags = [word for text in config for word in ("--trace-config", text)]
    server = start_server("--model-repository", models, *flags)
    server.wait_ready()
    infer(server)
    infer_over_grpc(server)
    server.wait_until(lambda: is_written(path, 2), "two traces in the file while the server runs")
    traces = by_id(path)
    http, grpc = traces[1], traces[2]
    assert (http["model_name"], http["model_version"], http["request_id"]) == ("identity", 1, "r1")
    assert grpc["request_id"] == "g1"
    stages = ["REQUEST_START", "QUEUE_START", *COMPUTE, "REQUEST_END"]
    for trace, start, end in [
        (http, ["HTTP_RECV_START", "HTTP_RECV_END"], ["HTTP_SEND_START", "HTTP_SEND_END"]),
        (grpc, ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END"], ["GRPC_SEND_START", "GRPC_SEND_END"]),
    ]:
        times = trace["times"]
        assert set(times) - {"INFER_RESPONSE_COMPLETE"} == {*start, *stages, *end}
        assert times[start[0]] <= times[start[1]] <= times["REQUEST_START"] <= times["COMPUTE_START"]
        assert times["COMPUTE_START"] <= times["COMPUTE_END"] <= times["REQUEST_END"] <= times[end[1]]
        assert abs(time.monotonic_ns() - times["REQUEST_START"]) < 60e9, "the monotonic clock"
        tensor = {"data": "1.5,2.5", "shape": "1,2", "dtype": "FP32"}
        assert trace["tensors"] == [
            ("TENSOR_QUEUE_INPUT", {"name": "INPUT0", **tensor}),
            ("TENSOR_BACKEND_OUTPUT", {"name": "OUTPUT0", **tensor}),
        ]
    assert server.metrics()["zeta_traces_written_total"] == 2


def test_settings_of_the_server_and_of_a_model(
    start_server: StartServer, models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    server = start_server("--model-repository", models, "--trace-config", f"triton,file={path}")
    server.wait_ready()
    everyone, one = server.url + "/v2/trace/setting", server.url + "/v2/models/other/trace/setting"
    infer(server)
    assert httpx.get(everyone).json()["trace_level"] == ["OFF"]
    settings = {"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "2"}
    assert httpx.post(everyone, json=settings).json()["trace_file"] == str(path)
    assert httpx.post(one, json={"trace_rate": "0"}).json()["trace_rate"] == "0"
    for _ in range(10):
        infer(server)
        infer(server, "other")
    server.wait_until(lambda: is_written(path, 2), "every second request until two were traced")
    assert httpx.get(everyone).json()["trace_count"] == "0", "what is left"
    assert {trace["model_name"] for trace in by_id(path).values()} == {"identity"}
    changed = httpx.post(one, json={"trace_rate": "1", "trace_count": "-1"}).json()
    assert changed["trace_level"] == ["TIMESTAMPS"], "the server's"
    infer(server, "other")
    server.wait_until(lambda: is_written(path, 3), "the model has a count of its own")
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        got = client.get_trace_settings("other", as_json=True)["settings"]
        assert got["trace_rate"] == {"value": ["1"]} and got["trace_mode"] == {"value": ["triton"]}
        off = client.update_trace_settings("other", {"trace_level": ["OFF"]}, as_json=True)["settings"]
        assert off["trace_level"] == {"value": ["OFF"]}
    infer(server, "other")
    assert server.stop() == 0
    assert is_written(path, 3)


def test_files_of_so_many_traces(start_server: StartServer, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    flags = ["--trace-file", path, "--trace-rate", "1", "--trace-level", "TIMESTAMPS"]
    server = start_server("--model-repository", models, *flags, "--trace-log-frequency", "2")
    server.wait_ready()
    for _ in range(5):
        infer(server)
    assert server.stop() == 0, "what is left is written at the end"
    assert [len(by_id(tmp_path / f"trace.json.{i}")) for i in range(3)] == [2, 2, 1]
    assert not path.exists()


def test_a_file_that_cannot_be_written_costs_no_request(start_server: StartServer, models: Path) -> None:
    flags = ["--trace-config", "triton,file=/nowhere/trace", "--trace-config", "rate=1"]
    server = start_server("--model-repository", models, *flags, "--trace-config", "level=TIMESTAMPS")
    server.wait_ready()
    infer(server)
    server.wait_until(lambda: server.metrics()["zeta_traces_failed_total"] == 1, "counted")
    assert "cannot write traces file=/nowhere/trace" in server.log


def telemetry(url: str, *settings: str) -> list[str]:
    texts = ["mode=opentelemetry", f"opentelemetry,url={url}", "level=TIMESTAMPS", *settings]
    return [word for text in texts for word in ("--trace-config", text)]


def test_spans_at_a_collector(start_server: StartServer, models: Path) -> None:
    with collector() as receiver:
        flags = telemetry(
            receiver.url, "rate=1", "opentelemetry,resource=service.name=zeta",
            "opentelemetry,resource=zone=a", "opentelemetry,bsp_schedule_delay=100",
        )  # fmt: skip
        server = start_server("--model-repository", models, *flags)
        server.wait_ready()
        infer(server)
        server.wait_until(lambda: len(receiver.spans) == 3, "three spans")
        assert receiver.resource() == {"service.name": "zeta", "zone": "a"}
        request, model, compute = receiver.spans
        assert [request.name, model.name, compute.name] == ["InferRequest", "identity", "compute"]
        assert [request.kind, model.kind] == [request.SPAN_KIND_SERVER, model.SPAN_KIND_INTERNAL]
        assert len(request.trace_id) == 16 and {span.trace_id for span in receiver.spans} == {
            request.trace_id
        }
        assert (request.parent_span_id, model.parent_span_id, compute.parent_span_id) == (
            b"", request.span_id, model.span_id,
        )  # fmt: skip
        assert [event.name for event in request.events] == [
            "HTTP_RECV_START", "HTTP_RECV_END", "HTTP_SEND_START", "HTTP_SEND_END",
        ]  # fmt: skip
        assert [event.name for event in compute.events] == COMPUTE
        attributes = {one.key: one.value for one in model.attributes}
        assert attributes["triton.model_name"].string_value == "identity"
        assert attributes["triton.model_version"].int_value == 1
        assert attributes["triton.request_id"].string_value == "r1"
        for outer, inner in [(request, model), (model, compute)]:
            assert outer.start_time_unix_nano <= inner.start_time_unix_nano
            assert inner.end_time_unix_nano <= outer.end_time_unix_nano
        assert abs(time.time_ns() - request.start_time_unix_nano) < 60e9, "the clock on the wall"
        settings = httpx.get(server.url + "/v2/trace/setting").json()
        assert settings["trace_mode"] == "opentelemetry" and settings["url"] == receiver.url


def test_the_client_s_trace_goes_on(start_server: StartServer, models: Path) -> None:
    with collector() as receiver:
        flags = telemetry(receiver.url, "rate=0", "opentelemetry,bsp_schedule_delay=50")
        server = start_server("--model-repository", models, *flags)
        server.wait_ready()
        infer(server)
        infer(server, traceparent="00-nonsense")
        infer(server, traceparent=PARENT, tracestate="vendor=1")
        infer_over_grpc(server, {"traceparent": PARENT})
        server.wait_until(lambda: len(receiver.spans) == 6, "two traces, whatever the rate")
        for span in receiver.spans:
            assert span.trace_id.hex() == PARENT[3:35]
        roots = [span for span in receiver.spans if span.name == "InferRequest"]
        assert [span.parent_span_id.hex() for span in roots] == [PARENT[36:52]] * 2
        assert [span.trace_state for span in roots] == ["vendor=1", ""]
        assert {event.name for event in roots[1].events} > {"GRPC_WAITREAD_START", "GRPC_SEND_END"}


def test_a_failed_request_has_a_failed_span(start_server: StartServer, models: Path) -> None:
    with collector() as receiver:
        flags = telemetry(receiver.url, "rate=1", "opentelemetry,bsp_schedule_delay=50")
        server = start_server("--model-repository", models, *flags)
        server.wait_ready()
        wrong = {"inputs": [{**BODY["inputs"][0], "name": "NOPE"}]}
        assert httpx.post(server.url + "/v2/models/identity/infer", json=wrong).status_code == 400
        server.wait_until(lambda: len(receiver.spans) >= 2, "spans")
        assert receiver.spans[0].status.code == 2 and "NOPE" in receiver.spans[0].status.message


def test_a_collector_that_recovers_gets_the_spans(start_server: StartServer, models: Path) -> None:
    with collector() as receiver:
        receiver.failures = [503, 429]
        flags = telemetry(receiver.url, "rate=1", "opentelemetry,bsp_schedule_delay=50")
        server = start_server("--model-repository", models, *flags)
        server.wait_ready()
        infer(server)
        server.wait_until(lambda: len(receiver.spans) == 3, "tried again")
        assert receiver.refused == 2
        receiver.failures = [400]
        infer(server)
        server.wait_until(lambda: server.metrics()["zeta_traces_failed_total"] == 1, "not tried again")
        assert "traces are lost" in server.log and "status 400" in server.log


def test_a_collector_that_hangs_holds_nobody_up(start_server: StartServer, models: Path) -> None:
    with collector() as receiver:
        receiver.closed.clear()
        small = ["opentelemetry,bsp_max_queue_size=9", "opentelemetry,bsp_max_export_batch_size=3"]
        flags = telemetry(receiver.url, "rate=1", "opentelemetry,bsp_schedule_delay=50", *small)
        server = start_server("--model-repository", models, *flags)
        server.wait_ready()
        with httpx.Client() as client:
            start = time.monotonic()
            for _ in range(50):
                assert client.post(server.url + "/v2/models/identity/infer", json=BODY).status_code == 200
            assert time.monotonic() - start < 3, "less than the exporter waits for the collector once"
        # One trace is being sent and three wait.
        server.wait_until(lambda: server.metrics()["zeta_traces_dropped_total"] >= 46, "dropped and counted")
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 25


def test_streams_are_traced(start_server: StartServer, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    flags = ["--trace-file", path, "--trace-rate", "1", "--trace-level", "TIMESTAMPS"]
    server = start_server("--model-repository", models, *flags)
    server.wait_ready()
    body = {"INPUT0": [1.0]}
    with httpx.stream("POST", server.url + "/v2/models/many/generate_stream", json=body) as response:
        assert len(list(response.iter_lines())) == 6
    server.wait_until(lambda: is_written(path, 1), "traced")
    assert "HTTP_SEND_END" in by_id(path)[1]["times"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--trace-config", "rate=x"], "rate: expected a number"),
        (["--trace-config", "level=TIMESTAMPS"], "needs triton,file=PATH"),
        (["--trace-config", "opentelemetry,url=localhost"], "expected http:// or https://"),
        (["--http-port", "99999"], "--http-port: Value 99999 not in range"),
        (["--grpc-port", "-1"], "--grpc-port: Value -1 not in range"),
    ],
)
def test_wrong_flags_are_named(models: Path, flags: list[str], said: str) -> None:
    command = [program(), "--model-repository", models, *flags]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1
