"""Many clients, and such as misbehave, against the real program."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import time
from pathlib import Path

import httpx
import pytest
from raw_http import RawConnection
from server_process import PATIENCE, Server, StartServer, write_model

SLOW = '{model="slow",version="1"}'


def connect(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.ports["http"]))
    connection.settimeout(PATIENCE)
    return connection


def read_all(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_hundreds_of_connections_at_once(server: Server) -> None:
    async def ask(connection: RawConnection, prompt: str) -> str:
        _, answer = await connection.post("/v1/completions", {"model": "text", "prompt": prompt})
        return str(answer["choices"][0]["text"])  # type: ignore[index]

    async def ask_all() -> None:
        connections = [await RawConnection.connect(server.ports["http"]) for _ in range(400)]
        for turn in range(3):
            prompts = [f"asker {number} {turn}" for number in range(len(connections))]
            asked = [ask(connection, prompt) for connection, prompt in zip(connections, prompts, strict=True)]
            assert await asyncio.gather(*asked) == prompts
        for connection in connections:
            connection.close()

    asyncio.run(ask_all())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_cancels_its_request(server: Server, stream: bool) -> None:
    before = server.metrics()["echo_cancelled_total" + SLOW]
    body = {"model": "slow", "prompt": " word" * 2000, "max_tokens": 2000, "stream": stream}
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        if stream:
            with client.stream("POST", "/v1/completions", json=body) as answer:
                assert next(answer.iter_lines()).startswith("data: ")
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json=body, timeout=0.3)
    server.wait_until(
        lambda: server.metrics()["echo_cancelled_total" + SLOW] == before + 1,
        "the backend sees the cancellation",
    )
    server.wait_until(lambda: server.metrics()["echo_in_flight" + SLOW] == 0, "nothing is left in flight")


def test_a_client_that_does_not_read_cancels_its_request(server: Server) -> None:
    """20 000 answers of 64 KiB are 20 times what may wait for a client."""
    sample = 'nv_inference_request_failure{model="many",version="1"'
    body = json.dumps({"INPUT0": "x" * (64 << 10)}).encode()
    head = f"POST /v2/models/many/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head.encode() + body)
        server.wait_until(
            lambda: sum(v for name, v in server.metrics().items() if name.startswith(sample)) == 1,
            "the backend sees the cancellation while the client holds the connection",
        )


def test_garbage_never_ends_the_server(server: Server) -> None:
    seed = 20_260_101
    source = random.Random(seed)
    whole = (
        b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 79\r\n\r\n"
        b'{"inputs":[{"name":"INPUT0","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}  '
    )
    for _ in range(300):
        message = bytearray(whole)
        for _ in range(source.randint(1, 8)):
            message[source.randrange(len(message))] = source.randrange(256)
        with connect(server) as connection:
            connection.sendall(message[: source.randint(1, len(message))])
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 "), (seed, bytes(message))
        assert not answer.startswith(b"HTTP/1.1 5") or answer.startswith(
            (b"HTTP/1.1 501", b"HTTP/1.1 505")
        ), answer
    assert httpx.get(server.url + "/v2/health/live").status_code == 200


def test_garbage_json_never_ends_the_server(server: Server) -> None:
    seed = 20_260_102
    source = random.Random(seed)
    whole = (
        b'{"model":"text","prompt":"a b","max_tokens":3,"stop":["x"],"n":2,"temperature":0.5,"logprobs":1}'
    )
    with httpx.Client(base_url=server.url) as client:
        for _ in range(500):
            body = bytearray(whole)
            for _ in range(source.randint(1, 4)):
                body[source.randrange(len(body))] = source.choice(b'{}[]",:0129.-eE \\\xffnult')
            answer = client.post("/v1/completions", content=bytes(body))
            assert answer.status_code in (200, 400, 404), (seed, bytes(body), answer.text)
            answer.json()


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 67108865\r\n\r\n")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    error = json.loads(answer.split(b"\r\n\r\n")[1])["error"]
    assert error["message"] == "request body exceeds 67108864 bytes (--http-max-input-size)", (
        "in OpenAI's form"
    )


def test_a_large_body_passes(server: Server) -> None:
    text = "x" * (30 << 20)
    body = {"inputs": [{"name": "INPUT0", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    answer = httpx.post(server.url + "/v2/models/strings/infer", json=body, timeout=PATIENCE)
    assert answer.json()["outputs"][0]["data"] == [text]


def test_a_full_server_can_still_be_watched(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "text", {"kind": "text"})
    server = start_server("--model-repository", tmp_path / "models", "--max-connections", "2")
    server.wait_ready()
    clients = [httpx.Client(base_url=server.url) for _ in range(2)]
    for client in clients:
        assert client.get("/v2").status_code == 200  # kept alive from here on
    for _ in range(5):
        assert httpx.get(server.url + "/v2/health/live").status_code == 200
        assert httpx.get(server.url + "/v2/health/ready").status_code == 200
        assert server.metrics()['zeta_inference_in_flight{model="text",version="1"}'] == 0
    refused = httpx.get(server.url + "/v1/models")
    assert (refused.status_code, "--max-connections" in refused.text) == (503, True)
    for client in clients:
        assert client.get("/v1/models").status_code == 200
        client.close()


def test_pipelined_streams_stay_apart(server: Server) -> None:
    def request(prompt: str, connection: str = "keep-alive") -> bytes:
        body = f'{{"model":"text","prompt":"{prompt}","stream":true}}'
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    with connect(server) as connection:
        connection.sendall(request("one two") + request("three four") + request("five", "close"))
        answers = read_all(connection).split(b"HTTP/1.1 200 OK")[1:]
    assert [b'"text":"five"' in answer for answer in answers] == [False, False, True]
    assert all(answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for answer in answers)


def test_memory_and_descriptors_stay_flat(server: Server) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    def resident() -> int:
        with open(f"/proc/{server.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def burst() -> None:
        for _ in range(300):
            with connect(server) as connection:
                connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert read_all(connection).startswith(b"HTTP/1.1 200")

    burst()
    time.sleep(0.2)
    open_before, resident_before = descriptors(), resident()
    burst()
    server.wait_until(lambda: descriptors() <= open_before, "descriptors are given back")
    # 300 connections that leaked no more than a page each would take 1.2 MB.
    assert resident() - resident_before < 1_000_000
