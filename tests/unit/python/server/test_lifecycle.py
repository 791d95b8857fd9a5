"""Start, readiness, command line, and the ways a server ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from raw_http import RawConnection
from server_process import PATIENCE, Server, StartServer, program, write_model


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(program()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_live_at_once_but_not_ready_while_loading(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "late", {"load_ms": 600_000})
    server = start_server("--model-repository", repository)
    server.wait_live()
    assert httpx.get(server.url + "/v2/health/live").status_code == 200
    assert httpx.get(server.url + "/v2/health/ready").status_code == 400
    model = httpx.get(server.url + "/v2/models/late/ready")
    assert (model.status_code, model.json()) == (400, {"error": "Model version not ready"})
    infer = httpx.post(server.url + "/v2/models/late/infer", json={})
    assert infer.status_code == 503
    assert infer.json()["error"] == "Request for unknown model: 'late' version 1 is not at ready state"
    index = httpx.post(server.url + "/v2/repository/index").json()
    assert index == [{"name": "late", "version": "1", "state": "LOADING"}]
    assert server.stop() == 0, "a load under way does not hold up the end"


def test_ready_when_loaded(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "late", {"load_ms": 100})
    server = start_server("--model-repository", repository)
    server.wait_ready()
    assert "| late  | 1       | echo    | READY  |" in server.log
    assert server.stop() == 0


def test_a_bad_model_ends_the_start(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "bad", {"kind": "mirror"})
    server = start_server("--model-repository", repository)
    assert server.process.wait(PATIENCE) == 1
    assert "field 'kind': expected identity, repeat, count or text, got 'mirror'" in server.log


def test_a_bad_model_may_be_tolerated(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "bad", {"kind": "mirror"})
    write_model(repository, "good", {})
    (repository / "foreign/1").mkdir(parents=True)
    (repository / "foreign/config.pbtxt").write_text('backend: "echo"\ndynamic_batching { }\n')
    (repository / "foreign/1/echo.json").write_text("{}")
    server = start_server("--model-repository", repository, "--exit-on-error", "false")
    server.wait_live()
    server.wait_until(
        lambda: httpx.get(server.url + "/v2/models/good/ready").status_code == 200, "good is ready"
    )
    assert httpx.get(server.url + "/v2/health/ready").status_code == 400
    reasons = {m["name"]: m.get("reason", "") for m in httpx.post(server.url + "/v2/repository/index").json()}
    assert "model 'foreign': dynamic_batching is not supported by the backend 'echo'" in reasons["foreign"]
    assert reasons["good"] == ""
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--bogus"], 2, "zeta-server: unknown argument --bogus (see --help)"),
        (["--modle", "x"], 2, "unknown argument --modle; did you mean --model?"),
        (["--model", "x", "--max-connection=3000"], 2, "did you mean --max-connections?"),
        ([], 2, "--model-repository"),
        (["--model-repository", "/no/such/folder"], 2, "'/no/such/folder': No such file or directory"),
        (["--model", "/no/such/folder"], 2, "no such folder: /no/such/folder"),
        (["--model", "x=/"], 2, "/ holds no model"),
        (["--model-repository", "/", "--http-port", "70000"], 2, "--http-port"),
        (
            ["--model-repository", "/", "--backend-config", "zeta"],
            2,
            "expected BACKEND,KEY=VALUE, got 'zeta'",
        ),
        (["--exit-timeout-secs", "9223372036854775807"], 2, "expected seconds from 0.001 to 31622400 or 0"),
        (["--idle-timeout", "nan"], 2, "--idle-timeout: expected seconds from 0.001 to 31622400, got nan"),
        (["--read-timeout", "1e300"], 2, "--read-timeout"),
        (["--idle-timeout", "0.0001"], 2, "--idle-timeout"),
        (["--request-timeout", "-1"], 2, "--request-timeout"),
        (["--http-thread-count", "1025"], 2, "--http-thread-count"),
        (["--model-repository", "/", "--log-file", "/proc/x/y"], 1, "cannot open log file '/proc/x/y'"),
    ],
)
def test_wrong_command_lines(arguments: list[str], code: int, words: str) -> None:
    done = run(*arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_tells_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "Exit codes: 0" in done.stdout


def test_closed_standard_streams_are_not_given_to_connections(repository: Path, tmp_path: Path) -> None:
    write_model(repository, "text", {"kind": "text"})
    log = tmp_path / "log"
    closed = 'exec "$0" "$@" <&- >&- 2>&-'
    command = [
        program(),
        "--model-repository",
        repository,
        "--http-port",
        "0",
        "--metrics-port",
        "0",
        "--grpc-port",
        "0",
    ]
    process = subprocess.Popen(["bash", "-c", closed, *map(str, command), "--log-file", str(log)])
    try:
        server = Server(process, log)
        server.wait_until(log.exists, "the log is there")
        server.wait_ready()
        links = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]
        assert links == ["/dev/null"] * 3
        assert server.stop() == 0
    finally:
        process.kill()


def test_two_models_of_one_name(repository: Path) -> None:
    write_model(repository, "m", {})
    done = run("--model-repository", repository, "--model", f"m={repository / 'm'}")
    assert done.returncode == 2
    assert "two models are named 'm'" in done.stderr


def test_unknown_backend_and_setting(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "m", {})
    server = start_server("--model-repository", repository, "--backend-config", "echo,volume=11")
    assert server.process.wait(PATIENCE) == 1
    assert "unknown setting 'volume'" in server.log
    (repository / "m/config.pbtxt").write_text('backend: "onnxruntime"')
    server = start_server("--model-repository", repository)
    assert server.process.wait(PATIENCE) == 1
    assert "unknown backend 'onnxruntime'" in server.log


@pytest.mark.parametrize("setting", [["--backend-config", "zeta,max_nm=4"], ["--max-num-seqs", "4"]])
def test_a_setting_of_an_unused_backend_is_refused(repository: Path, setting: list[str]) -> None:
    write_model(repository, "m", {})
    done = run("--model-repository", repository, *setting)
    assert done.returncode == 2
    assert "is for the backend 'zeta', which no model uses; backends in use: echo" in done.stderr


def test_a_port_in_use_is_named_with_its_flag(start_server: StartServer, repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start_server("--model-repository", repository, http_port=port)
        assert server.process.wait(PATIENCE) == 1
    assert (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another with --http-address or --http-port" in server.log
    )


def test_an_address_that_is_none_is_named_with_its_flag(repository: Path) -> None:
    done = run("--model-repository", repository, "--http-address", "localhost")
    assert done.returncode == 1
    assert (
        "cannot listen on localhost:8000: not an IP address; choose another with --http-address"
        in done.stderr
    )


def test_an_empty_repository_is_named(start_server: StartServer, repository: Path) -> None:
    server = start_server("--model-repository", repository)
    server.wait_ready()
    assert f"no model found in the repository repository={repository}\n" in server.log
    assert server.stop() == 0


def test_sigterm_finishes_what_is_under_way(start_server: StartServer, repository: Path) -> None:
    """Clients ask all the time; each request that got through to the server is answered."""
    write_model(repository, "slow", {"kind": "text", "delay_ms": 20, "max_in_flight": 1000})
    server = start_server("--model-repository", repository)
    server.wait_ready()

    async def ask_until_refused() -> int:
        answered = 0
        while True:
            try:
                connection = await RawConnection.connect(server.ports["http"])
            except ConnectionRefusedError:
                return answered
            while connection.open:
                status, answer = await connection.post(
                    "/v1/completions", {"model": "slow", "prompt": "a b c"}
                )
                assert (status, answer["choices"][0]["text"]) == (200, "a b c")  # type: ignore[index]
                answered += 1
            connection.close()

    async def load() -> list[int]:
        askers = [asyncio.create_task(ask_until_refused()) for _ in range(32)]
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        return await asyncio.gather(*askers)

    answered = asyncio.run(load())
    assert server.process.wait(PATIENCE) == 0
    assert min(answered) >= 1
    assert "dropped" not in server.log


def send_hanging_request(server: Server, connection: socket.socket) -> None:
    """Ask the model "hang" for text, and wait until it works on it."""
    body = b'{"model": "hang", "prompt": "a"}'
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    sample = 'echo_in_flight{model="hang",version="1"}'
    server.wait_until(lambda: server.metrics()[sample] == 1, "the request is in flight")


def test_the_exit_timeout_ends_what_hangs(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "hang", {"kind": "text", "delay_ms": 600_000})
    server = start_server("--model-repository", repository, "--exit-timeout-secs", "1")
    server.wait_ready()
    with socket.create_connection(("127.0.0.1", server.ports["http"])) as connection:
        send_hanging_request(server, connection)
        start = time.monotonic()
        assert server.stop() == 0
        assert 0.9 < time.monotonic() - start < 10
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 503 ")
    assert json.loads(answer.split("\r\n\r\n")[1])["error"]["message"] == "the server is shutting down"


def test_a_second_signal_ends_at_once(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "hang", {"kind": "text", "delay_ms": 600_000})
    server = start_server("--model-repository", repository)
    server.wait_ready()
    with socket.create_connection(("127.0.0.1", server.ports["http"])) as connection:
        send_hanging_request(server, connection)
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda: "shutting down" in server.log, "the drain begins")
        assert server.stop(signal.SIGINT) == -signal.SIGINT


def test_restart_on_the_same_port_after_kill_9(start_server: StartServer, repository: Path) -> None:
    write_model(repository, "text", {"kind": "text"})
    server = start_server("--model-repository", repository)
    server.wait_ready()
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/v2").status_code == 200
        server.stop(signal.SIGKILL)
        again = start_server("--model-repository", repository, http_port=server.ports["http"])
        again.wait_ready()
    assert again.stop() == 0


def test_json_log(start_server: StartServer, repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    server = start_server(
        "--model-repository", repository, "--log-format", "json", "--log-file", log, "--log-verbose", "1"
    )

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    server.wait_until(lambda: any(line["message"] == "ready" for line in lines()), "ready")
    port = next(line["port"] for line in lines() if line.get("service") == "http")
    httpx.get(f"http://127.0.0.1:{port}/v2?token=secret", headers={"X-Request-Id": "abc"})
    assert server.stop() == 0
    request = next(line for line in lines() if line["message"] == "request")
    assert (request["id"], request["path"], request["status"]) == ("abc", "/v2", 200)
    assert "secret" not in log.read_text()
