"""NVIDIA's own client against the server: configuration, statistics and repository control."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from server_process import StartServer, write_model

httpclient = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")


def test_http_client_controls_the_repository(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "m", {"shape": [-1, 2]})
    server = start_server("--model-repository", tmp_path / "models", "--model-control-mode=explicit")
    server.wait_ready()
    client = httpclient.InferenceServerClient(f"127.0.0.1:{server.ports['http']}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert not client.is_model_ready("m")
    assert client.get_model_repository_index() == [{"name": "m"}]
    client.load_model("m", config='{"backend": "echo", "max_batch_size": 8}')
    assert client.is_model_ready("m", "1")
    assert client.get_model_config("m")["max_batch_size"] == 8
    assert client.get_model_metadata("m")["inputs"][0]["shape"] == [-1, 2]

    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    tensor = httpclient.InferInput("INPUT0", [2, 2], "FP32")
    tensor.set_data_from_numpy(values, binary_data=False)
    output = httpclient.InferRequestedOutput("OUTPUT0", binary_data=False)
    answer = client.infer("m", [tensor], outputs=[output])
    np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), values)
    statistics = client.get_inference_statistics("m")["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] == 1

    files = {"file:1/echo.json": b'{"datatype": "INT8"}'}
    client.load_model("made", config='{"backend": "echo"}', files=files)
    assert client.get_model_metadata("made")["inputs"][0]["datatype"] == "INT8"
    client.unload_model("m", unload_dependents=True)
    assert not client.is_model_ready("m")
    with pytest.raises(Exception, match="failed to load 'none', failed to poll from model repository"):
        client.load_model("none")
    client.close()
    assert server.stop() == 0


def test_the_protocol_files_are_those_of_the_client() -> None:
    """Every message, field number and method of api/*.proto, as protoc reads it."""
    import shutil
    import subprocess

    grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")
    from google.protobuf import descriptor_pb2

    if shutil.which("protoc") is None:
        pytest.skip("protoc is not installed")
    api = Path(__file__).resolve().parents[4] / "api"
    compiled = subprocess.run(
        [
            "protoc",
            f"--proto_path={api}",
            "--descriptor_set_out=/dev/stdout",
            "model_config.proto",
            "grpc_service.proto",
        ],
        check=True,
        capture_output=True,
    ).stdout
    ours = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file}
    for module in (grpc.model_config_pb2, grpc.service_pb2):
        theirs = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(theirs)
        for file in (theirs, ours[theirs.name]):
            clear_details(file)
        assert ours[theirs.name] == theirs


def clear_details(message: object) -> None:
    """Remove what differs between compilers: names in JSON, options, the syntax."""
    message.ClearField("syntax") if hasattr(message, "syntax") else None
    for service in getattr(message, "service", []):
        for method in service.method:
            method.ClearField("options")
    for nested in [*getattr(message, "message_type", []), *getattr(message, "nested_type", [])]:
        for field in nested.field:
            field.ClearField("json_name")
        clear_details(nested)
