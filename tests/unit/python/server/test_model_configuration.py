"""What a configuration changes, seen by clients."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from server_process import Server, StartServer

TENSORS = """
input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" }
"""


def write(
    repository: Path, name: str, config: str, echo: dict[str, object], versions: tuple[int, ...] = (1,)
) -> None:
    for version in versions:
        (repository / name / str(version)).mkdir(parents=True, exist_ok=True)
        (repository / name / str(version) / "echo.json").write_text(json.dumps(echo))
    (repository / name / "labels.txt").write_text("a\nb\n")
    (repository / name / "config.pbtxt").write_text(config)


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> Server:
    folder = tmp_path / "models"
    batched = 'backend: "echo" max_batch_size: 4 metric_tags { key: "team" value: "red" }\n' + TENSORS
    write(folder, "batched", batched, {"shape": [-1, 2]})
    write(
        folder, "versions", 'backend: "echo" version_policy { specific { versions: [1, 3] } }', {}, (1, 2, 3)
    )
    write(folder, "completed", 'backend: "echo" max_batch_size: 2', {"shape": [-1, 5], "datatype": "INT64"})
    (folder / "conf/1").mkdir(parents=True)
    (folder / "conf/1/echo.json").write_text("{}")
    (folder / "conf/model.conf").write_text('name: "conf" backend: "echo"')
    server = start_server("--model-repository", folder)
    server.wait_ready()
    return server


def infer(server: Server, model: str, shape: list[int], count: int) -> httpx.Response:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": shape, "data": [1.0] * count}
    return httpx.post(f"{server.url}/v2/models/{model}/infer", json={"inputs": [tensor]})


def test_max_batch_size(server: Server) -> None:
    metadata = httpx.get(server.url + "/v2/models/batched").json()
    assert metadata["inputs"][0]["shape"] == [-1, 2]
    assert metadata["outputs"][0]["shape"] == [-1, 2]
    assert infer(server, "batched", [4, 2], 8).status_code == 200
    too_many = infer(server, "batched", [5, 2], 10)
    expected = "[request id: <id_unknown>] inference request batch-size must be <= 4 for 'batched'"
    assert (too_many.status_code, too_many.json()["error"]) == (400, expected)
    without = infer(server, "batched", [2], 2).json()["error"]
    assert "Expected [-1,2], got [2]. NOTE: Setting a non-zero max_batch_size" in without


def test_configuration_is_tritons_json(server: Server) -> None:
    config = httpx.get(server.url + "/v2/models/batched/config").json()
    assert config["max_batch_size"] == 4
    assert config["input"][0]["dims"] == [2]
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    assert config["instance_group"][0]["kind"] == "KIND_CPU"
    assert config["metric_tags"] == {"team": "red"}
    missing = httpx.get(server.url + "/v2/models/none/config")
    assert (missing.status_code, missing.json()["error"]) == (
        404,
        "Request for unknown model: 'none' is not found",
    )


def test_what_is_missing_comes_from_the_model(server: Server) -> None:
    config = httpx.get(server.url + "/v2/models/completed/config").json()
    assert (config["input"][0]["data_type"], config["input"][0]["dims"]) == ("TYPE_INT64", [5])
    assert httpx.get(server.url + "/v2/models/conf").status_code == 200


def test_versions(server: Server) -> None:
    assert httpx.get(server.url + "/v2/models/versions").json()["versions"] == ["1", "3"]
    assert infer(server, "versions", [1], 1).json()["model_version"] == "3"
    assert infer(server, "versions/versions/1", [1], 1).json()["model_version"] == "1"
    answer = infer(server, "versions/versions/2", [1], 1)
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "Request for unknown model: 'versions' version 2 is not found",
    )


def test_metric_tags_are_labels(server: Server) -> None:
    assert infer(server, "batched", [1, 2], 2).status_code == 200
    name = 'nv_inference_request_success{model="batched",version="1",team="red"}'
    assert server.metrics()[name] == 1


def test_statistics(server: Server) -> None:
    assert infer(server, "versions", [1], 1).status_code == 200
    assert infer(server, "versions", [1], 1).status_code == 200
    every = httpx.get(server.url + "/v2/models/stats").json()["model_stats"]
    assert [(m["name"], m["version"]) for m in every] == [
        ("batched", "1"),
        ("completed", "1"),
        ("conf", "1"),
        ("versions", "1"),
        ("versions", "3"),
    ]
    third = httpx.get(server.url + "/v2/models/versions/versions/3/stats").json()["model_stats"]
    assert len(third) == 1
    assert third[0]["inference_count"] == 2
    assert third[0]["execution_count"] == 2
    assert third[0]["inference_stats"]["success"]["count"] == 2
    assert third[0]["inference_stats"]["success"]["ns"] > 0
    assert third[0]["last_inference"] > 1_700_000_000_000
    assert (
        httpx.get(server.url + "/v2/models/versions/versions/1/stats").json()["model_stats"][0][
            "inference_count"
        ]
        == 0
    )
    for path, message in [
        ("none", "requested model 'none' is not available"),
        ("versions/versions/2", "requested model version is not available for model 'versions'"),
    ]:
        answer = httpx.get(f"{server.url}/v2/models/{path}/stats")
        assert (answer.status_code, answer.json()["error"]) == (400, message)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("max_batch_size: x", "line 1, column 33: Expected integer, got: x"),
        ("colour: 1", 'no field named "colour"'),
        ("model_operations { }", "model 'm': model_operations is not supported"),
        ("dynamic_batching { }", "model 'm': dynamic_batching is not supported by the backend 'echo'"),
        (
            "input { name: 'X' data_type: TYPE_FP32 dims: 0 }",
            "model input 'X' dimension must be integer >= 1",
        ),
        (
            "input { name: 'INPUT0' data_type: TYPE_FP32 dims: [2, 2] }",
            "expects FP32[2,2], the model provides FP32[-1]",
        ),
        ("version_policy { specific { versions: 9 } }", "at least one version must be available"),
    ],
)
def test_a_wrong_configuration_is_unavailable_with_its_reason(
    start_server: StartServer, tmp_path: Path, config: str, reason: str
) -> None:
    write(tmp_path / "models", "m", 'backend: "echo" ' + config, {})
    server = start_server("--model-repository", tmp_path / "models", "--exit-on-error=false")
    server.wait_live()

    def model() -> dict[str, str]:
        return httpx.post(server.url + "/v2/repository/index").json()[0]

    server.wait_until(lambda: model()["state"] == "UNAVAILABLE", "m is refused")
    assert reason in model()["reason"]
