"""Who may call over gRPC, and what runs the server: TLS, health, settings, statistics, the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from certificates import make_certificates
from grpc_requests import Collected, grpc, grpcclient, to_input
from server_process import MODELS, PATIENCE, Server, StartServer, write_model
from tritonclient.utils import InferenceServerException


def test_standard_health_check(server: Server) -> None:
    with grpc.insecure_channel(server.grpc_url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b"\x08\x01", "SERVING"
        assert check(b"\x0a\x03any") == b"\x08\x01"


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
    assert "cannot read '/no/such/key'" in server.log
