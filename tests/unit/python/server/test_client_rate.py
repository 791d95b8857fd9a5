"""--client-request-rate over HTTP and gRPC."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from server_process import StartServer, write_model
from tritonclient.utils import InferenceServerException


def test_too_many_requests_a_second(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "identity", {"kind": "identity", "shape": [1]})
    server = start_server("--model-repository", tmp_path / "models", "--client-request-rate", "0.01")
    server.wait_ready()
    body = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": [1]}]}
    url = server.url + "/v2/models/identity/infer"
    assert httpx.post(url, json=body).status_code == 200
    refused = httpx.post(url, json=body)
    assert refused.status_code == 429
    assert "client 127.0.0.1 sends more requests a second" in refused.json()["error"]
    assert httpx.post(server.url + "/v1/completions", json={}).status_code == 429, "one rate for all APIs"
    value = grpcclient.InferInput("INPUT0", [1], "FP32")
    value.set_data_from_numpy(np.ones(1, dtype=np.float32))
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        with pytest.raises(InferenceServerException, match="client 127.0.0.1 sends more") as raised:
            client.infer("identity", [value])
        assert raised.value.status() == "StatusCode.UNAVAILABLE"
        assert client.is_server_ready(), "only inference is counted"
    assert httpx.get(server.url + "/v2/models/identity").status_code == 200
