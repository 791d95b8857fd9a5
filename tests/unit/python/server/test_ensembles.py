"""Ensembles, the response cache and the rate limiter, through tritonclient."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from server_process import StartServer, write_model
from tritonclient.utils import InferenceServerException

STEP = """step {{ model_name: "{model}" model_version: -1
  input_map {{ key: "INPUT0" value: "{source}" }} output_map {{ key: "OUTPUT0" value: "{target}" }} }}"""


def write_ensemble(repository: Path, name: str, steps: list[tuple[str, str, str]], rest: str = "") -> None:
    """An ensemble of FP32 tensors, from IN to OUT; a step is (model, from, to)."""
    (repository / name / "1").mkdir(parents=True)
    text = [STEP.format(model=model, source=source, target=target) for model, source, target in steps]
    (repository / name / "config.pbtxt").write_text(
        f"""platform: "ensemble" {rest}
        input {{ name: "IN" data_type: TYPE_FP32 dims: [-1] }}
        output {{ name: "OUT" data_type: TYPE_FP32 dims: [-1] }}
        ensemble_scheduling {{ {" ".join(text)} }}"""
    )


def write_batched(repository: Path, name: str, delay_ms: int = 0, rest: str = "") -> None:
    write_model(repository, name, {"delay_ms": delay_ms})
    (repository / name / "config.pbtxt").write_text(f'backend: "echo" max_batch_size: 4 {rest}')


@pytest.mark.parametrize("library", [triton_http, triton_grpc])
def test_an_ensemble_is_a_model_like_any_other(start_server: StartServer, tmp_path: Path, library) -> None:
    repository = tmp_path / "models"
    for name in ("first", "second"):
        write_model(repository, name, {})
    write_ensemble(repository, "whole", [("first", "IN", "between"), ("second", "between", "OUT")])
    server = start_server("--model-repository", repository)
    server.wait_ready()
    url = server.url.removeprefix("http://") if library is triton_http else server.grpc_url
    with library.InferenceServerClient(url) as client:
        data = np.arange(5, dtype=np.float32)
        tensor = library.InferInput("IN", data.shape, "FP32")
        tensor.set_data_from_numpy(data)
        answer = client.infer("whole", [tensor], request_id="7")
        assert (answer.as_numpy("OUT") == data).all()
        with pytest.raises(
            InferenceServerException, match="expected 1 inputs but got 0 inputs for model 'whole'"
        ):
            client.infer("whole", [])
    metrics = server.metrics()
    for name in ("first", "second", "whole"):
        assert metrics[f'nv_inference_request_success{{model="{name}",version="1"}}'] == 1
    assert "| whole  | 1       | ensemble | READY  |" in server.log
    assert server.stop() == 0


def test_members_come_and_go_with_their_ensemble(start_server: StartServer, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_model(repository, "part", {})
    write_ensemble(repository, "whole", [("part", "IN", "OUT")])
    write_ensemble(repository, "wrong", [("nobody", "IN", "OUT")])
    server = start_server(
        "--model-repository", repository, "--model-control-mode=explicit", "--load-model=whole"
    )
    server.wait_ready()
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        assert client.is_model_ready("part")
        with pytest.raises(InferenceServerException, match="not available or ambiguous: nobody"):
            client.load_model("wrong")
        client.unload_model("whole", unload_dependents=True)
        assert not client.is_model_ready("part")


def test_a_decoupled_ensemble_streams(start_server: StartServer, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_model(repository, "many", {"kind": "repeat", "times": 3})
    write_model(repository, "plain", {})
    write_ensemble(repository, "whole", [("many", "IN", "t"), ("plain", "t", "OUT")])
    server = start_server("--model-repository", repository)
    server.wait_ready()
    answers: list[np.ndarray] = []
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        assert client.get_model_config("whole").config.model_transaction_policy.decoupled
        client.start_stream(
            lambda result, error: answers.append(result.as_numpy("OUT") if error is None else error)
        )
        tensor = triton_grpc.InferInput("IN", [2], "FP32")
        tensor.set_data_from_numpy(np.float32([1, 2]))
        client.async_stream_infer("whole", [tensor])
        server.wait_until(lambda: len(answers) == 3, "three answers")
        client.stop_stream()
    assert all((answer == [1, 2]).all() for answer in answers), answers


@pytest.mark.parametrize(
    "flag", ["--cache-config=local,size=1048576", "--response-cache-byte-size=1048576", None]
)
def test_the_cache_is_for_models_that_ask_for_it(
    start_server: StartServer, tmp_path: Path, flag: str | None
) -> None:
    repository = tmp_path / "models"
    write_batched(repository, "cached", rest="response_cache { enable: true }")
    write_batched(repository, "plain")
    server = start_server("--model-repository", repository, *([flag] if flag else []))
    server.wait_ready()
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        for name in ("cached", "plain"):
            for value in (1, 1, 2, 1):
                tensor = triton_grpc.InferInput("INPUT0", [1, 1], "FP32")
                tensor.set_data_from_numpy(np.float32([[value]]))
                assert client.infer(name, [tensor]).as_numpy("OUTPUT0").item() == value
        stats = client.get_inference_statistics("cached", as_json=True)["model_stats"][0]
    hits = 2 if flag else 0
    assert int(stats["inference_stats"]["cache_hit"].get("count", 0)) == hits
    assert int(stats["inference_stats"]["cache_miss"].get("count", 0)) == (2 if flag else 0)
    assert int(stats["inference_count"]) == 4 - hits
    assert int(stats["inference_stats"]["success"]["count"]) == 4
    metrics = server.metrics()
    assert metrics.get('nv_cache_num_hits_per_model{model="cached",version="1"}') == (hits or None)
    assert 'nv_cache_num_hits_per_model{model="plain",version="1"}' not in metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cache-config=redis,host=x"], "expected local,size=BYTES, got 'redis,host=x'"),
        (["--cache-config=local,size=1k"], "expected local,size=BYTES"),
        (["--cache-config=local,size=9", "--response-cache-byte-size=9"], "excludes --cache-config"),
        (["--rate-limit-resource=r:1"], "needs --rate-limit=execution_count"),
        (["--rate-limit=execution_count", "--rate-limit-resource=r"], "'<resource_name>:<count>'. Got r"),
        (["--rate-limit=execution_count", "--rate-limit-resource=r:1:x"], "Got r:1:x"),
    ],
)
def test_wrong_settings_end_the_start(
    start_server: StartServer, tmp_path: Path, arguments: list[str], message: str
) -> None:
    server = start_server("--model-repository", tmp_path, *arguments)
    assert server.process.wait(30) == 2
    assert message in server.log


@pytest.mark.parametrize("count", [1, 2])
def test_the_rate_limiter_bounds_what_computes_at_once(
    start_server: StartServer, tmp_path: Path, count: int
) -> None:
    repository = tmp_path / "models"
    for name in ("a", "b"):
        write_batched(
            repository,
            name,
            300,
            'instance_group { rate_limiter { resources { name: "r" global: true count: 1 } } }',
        )
    server = start_server(
        "--model-repository", repository, "--rate-limit=execution_count", f"--rate-limit-resource=r:{count}"
    )
    server.wait_ready()

    def infer(name: str) -> None:
        with triton_grpc.InferenceServerClient(server.grpc_url) as client:
            tensor = triton_grpc.InferInput("INPUT0", [1, 1], "FP32")
            tensor.set_data_from_numpy(np.float32([[1]]))
            client.infer(name, [tensor])

    begin = time.monotonic()
    with ThreadPoolExecutor() as pool:
        list(pool.map(infer, ["a", "b"]))
    if count == 1:
        assert time.monotonic() - begin >= 0.6  # one after the other, whatever else the machine does


def test_too_few_resources_are_refused_at_load(start_server: StartServer, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_batched(
        repository, "m", rest='instance_group { rate_limiter { resources { name: "r" count: 4 } } }'
    )
    server = start_server(
        "--model-repository", repository, "--rate-limit=execution_count", "--rate-limit-resource=r:1"
    )
    assert server.process.wait(30) == 1
    assert (
        'Resource count for "r" is limited to 1 which will prevent scheduling of one or more model instances, '
        "the minimum required count is 4" in server.log.replace('\\"', '"')
    )
