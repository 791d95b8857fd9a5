"""Models that come and go while the server runs, and what the repository API says about it."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path

import httpx
import pytest
from server_process import Server, StartServer, write_model

EXPLICIT = "--model-control-mode=explicit"
REQUEST = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": [1]}]}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two good models and one that cannot be loaded."""
    folder = tmp_path / "models"
    write_model(folder, "a", {})
    write_model(folder, "b", {})
    write_model(folder, "bad", {"kind": "mirror"})
    return folder


def control(
    server: Server, model: str, action: str, parameters: dict[str, object] | None = None
) -> httpx.Response:
    body = "" if parameters is None else json.dumps({"parameters": parameters})
    return httpx.post(f"{server.url}/v2/repository/models/{model}/{action}", content=body, timeout=30)


def index(server: Server, body: str = "") -> list[dict[str, str]]:
    return httpx.post(server.url + "/v2/repository/index", content=body).json()


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def test_load_and_unload(start_server: StartServer, repository: Path) -> None:
    server = start_server("--model-repository", repository, EXPLICIT)
    server.wait_ready()
    assert index(server) == [{"name": "a"}, {"name": "b"}, {"name": "bad"}]
    loaded = control(server, "a", "load")
    assert (loaded.status_code, loaded.content) == (200, b"")
    assert index(server) == [{"name": "a", "version": "1", "state": "READY"}, {"name": "b"}, {"name": "bad"}]
    assert index(server, '{"ready": true}') == [{"name": "a", "version": "1", "state": "READY"}]
    assert httpx.post(server.url + "/v2/models/a/infer", json=REQUEST).status_code == 200
    unloaded = control(server, "a", "unload")
    assert (unloaded.status_code, unloaded.content) == (200, b"")
    server.wait_until(lambda: index(server)[0].get("state") == "UNAVAILABLE", "a is unloaded")
    assert index(server)[0]["reason"] == "unloaded"
    missing = httpx.post(server.url + "/v2/models/a/infer", json=REQUEST)
    assert error(missing) == (404, "Request for unknown model: 'a' has no available versions")
    assert error(httpx.get(server.url + "/v2/models/a/versions/1")) == (
        503,
        "Request for unknown model: 'a' version 1 is not at ready state",
    )
    assert error(httpx.get(server.url + "/v2/models/a/ready")) == (400, "Model version not ready")
    assert control(server, "nothing", "unload").status_code == 200, "as Triton does"
    assert server.stop() == 0


def test_errors_are_tritons(start_server: StartServer, repository: Path) -> None:
    server = start_server("--model-repository", repository, EXPLICIT)
    server.wait_ready()
    poll_failed = "failed to load '{}', failed to poll from model repository"
    assert error(control(server, "none", "load")) == (500, poll_failed.format("none"))
    assert error(control(server, "..%2Fmodels%2Fa", "load")) == (500, poll_failed.format("../models/a"))
    status, text = error(control(server, "bad", "load"))
    assert status == 400
    assert text.startswith(
        "load failed for model 'bad': version 1 is at UNAVAILABLE state: Invalid argument: "
    )
    assert text.endswith("got 'mirror';\n")
    status, text = error(control(server, "a", "load", {"config": "{"}))
    assert (status, text.startswith(poll_failed.format("a") + ": ")) == (500, True)
    status, text = error(control(server, "a", "load", {"config": '{"backend": "echo", "colour": 1}'}))
    assert status == 500
    assert "colour" in text
    for parameters, message in [
        ({"config": 5}, "load parameter 'config': expected a string"),
        ({"colour": "red"}, "unrecognized load parameter 'colour': expected 'config' or 'file:PATH'"),
        ({"file:1/echo.json": "!!!"}, "load parameter 'file:1/echo.json': expected base64"),
    ]:
        assert error(control(server, "a", "load", parameters)) == (400, message)
    assert error(control(server, "a", "unload", {"unload_dependents": "x"}))[0] == 400
    named = httpx.post(server.url + "/v2/repository/x/models/a/load")
    assert error(named) == (501, "'repository_name' specification is not supported")
    assert httpx.post(server.url + "/v2/repository/x/index").json() == index(server)
    assert server.stop() == 0


def test_overrides(start_server: StartServer, repository: Path) -> None:
    server = start_server("--model-repository", repository, EXPLICIT)
    server.wait_ready()
    config = json.dumps({"backend": "echo", "parameters": {}, "version_policy": {"all": {}}})
    files = {
        f"file:{version}/echo.json": base64.b64encode(json.dumps({"datatype": datatype}).encode()).decode()
        for version, datatype in [(1, "INT8"), (4, "BOOL")]
    }
    assert control(server, "made", "load", {"config": config, **files}).status_code == 200
    metadata = httpx.get(server.url + "/v2/models/made").json()
    assert (metadata["versions"], metadata["inputs"][0]["datatype"]) == (["1", "4"], "BOOL")
    first = httpx.get(server.url + "/v2/models/made/versions/1").json()
    assert (first["versions"], first["inputs"][0]["datatype"]) == (["1"], "INT8")
    status, text = error(control(server, "a", "load", files))
    assert status == 500
    assert "'config'" in text
    escape = control(server, "a", "load", {"config": config, "file:../x": "QUJD"})
    assert "expected a path inside the model's folder" in error(escape)[1]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "ready"),
    [
        ((), []),
        (("--load-model", "a"), ["a"]),
        (("--load-model", "a", "--load-model", "b"), ["a", "b"]),
        (("--load-model=*", "--exit-on-error=false", "--strict-readiness=false"), ["a", "b"]),
    ],
)
def test_load_model_chooses_what_the_start_loads(
    start_server: StartServer, repository: Path, arguments: tuple[str, ...], ready: list[str]
) -> None:
    server = start_server("--model-repository", repository, EXPLICIT, *arguments)
    server.wait_ready()
    assert [model["name"] for model in index(server, '{"ready": true}')] == ready
    assert server.stop() == 0


def test_exit_on_error_and_wrong_load_model(start_server: StartServer, repository: Path) -> None:
    server = start_server("--model-repository", repository, EXPLICIT, "--load-model=*")
    assert server.process.wait(30) == 1
    server = start_server("--model-repository", repository, EXPLICIT, "--load-model=typo")
    assert server.process.wait(30) == 2
    assert "--load-model typo: no repository holds it" in server.log
    server = start_server("--model-repository", repository, "--load-model=a")
    assert server.process.wait(30) == 2
    assert "needs --model-control-mode=explicit" in server.log


def test_strict_readiness(start_server: StartServer, repository: Path) -> None:
    arguments = ("--model-repository", repository, "--exit-on-error=false")
    strict = start_server(*arguments)
    strict.wait_live()
    strict.wait_until(lambda: len(index(strict, '{"ready": true}')) == 2, "what can be loaded is")
    assert httpx.get(strict.url + "/v2/health/ready").status_code == 400
    lenient = start_server(*arguments, "--strict-readiness=false")
    lenient.wait_ready()


def test_two_repositories(start_server: StartServer, repository: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "more", "c", {})
    server = start_server("--model-repository", repository, "--model-repository", tmp_path / "more", EXPLICIT)
    server.wait_ready()
    assert [model["name"] for model in index(server)] == ["a", "b", "bad", "c"]
    assert control(server, "c", "load").status_code == 200
    write_model(tmp_path / "more", "a", {})
    assert control(server, "a", "load").status_code == 500, "two repositories hold it"


def test_poll_follows_the_folder(start_server: StartServer, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write_model(folder, "a", {})
    server = start_server(
        "--model-repository", folder, "--model-control-mode=poll", "--repository-poll-secs=1"
    )
    server.wait_ready()
    write_model(folder, "b", {})
    server.wait_until(lambda: len(index(server, '{"ready": true}')) == 2, "b is loaded")
    (folder / "a/1/echo.json").write_text('{"datatype": "INT8"}')

    def datatype() -> str:
        return httpx.get(server.url + "/v2/models/a").json()["inputs"][0]["datatype"]

    server.wait_until(lambda: datatype() == "INT8", "a is loaded anew")
    (folder / "b").rename(tmp_path / "gone")
    server.wait_until(lambda: len(index(server, '{"ready": true}')) == 1, "b is unloaded")
    refused = control(server, "a", "unload")
    assert error(refused) == (503, "explicit model load / unload is not allowed if polling is enabled")
    assert server.stop() == 0


def test_no_request_sees_a_model_come_or_go(start_server: StartServer, repository: Path) -> None:
    server = start_server("--model-repository", repository, EXPLICIT, "--load-model=a")
    server.wait_ready()
    over = threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        with httpx.Client() as client:
            while not over.is_set():
                answer = client.post(server.url + "/v2/models/a/infer", json=REQUEST)
                if answer.status_code != 200:
                    wrong.append(answer.text)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for version in range(2, 22):
        config = json.dumps({"backend": "echo", "version_policy": {"latest": {"num_versions": 2}}})
        content = base64.b64encode(b"{}").decode()
        answer = control(server, "a", "load", {"config": config, f"file:{version}/echo.json": content})
        assert answer.status_code == 200, answer.text
    over.set()
    for asker in askers:
        asker.join()
    assert wrong == []
    assert server.stop() == 0
