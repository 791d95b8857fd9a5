"""Starts the real zeta-server on free ports over models of the echo backend."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import MODELS, Server, StartServer, program, serving, write_model


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers with the given arguments; kills what is left at the end of the test."""
    servers: list[Server] = []

    def start(*arguments: str | Path, http_port: int = 0) -> Server:
        log = tmp_path / f"server-{len(servers)}.log"
        command = [program(), "--http-address", "127.0.0.1", "--http-port", http_port, "--metrics-port", 0]
        command += ["--grpc-port", 0]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in [*command, *arguments]], stdout=output, stderr=output
            )
        servers.append(Server(process, log))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with all of MODELS, for a module's tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("server")
    for name, settings in MODELS.items():
        write_model(folder / "models", name, settings)
    with serving(folder, "--allow-client-shm", "true") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[object]:
    """tritonclient's gRPC client of `server`."""
    import tritonclient.grpc

    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[object]:
    """The bare gRPC stub of `server`."""
    import grpc
    from tritonclient.grpc import service_pb2_grpc

    with grpc.insecure_channel(server.grpc_url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)
