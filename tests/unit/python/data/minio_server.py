"""A real MinIO on a free loopback port, for the tests that speak S3."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow import fs

REPOSITORY = Path(__file__).parents[4]
PROGRAM = REPOSITORY / "build" / "tools" / "minio"
_START_SECONDS = 60


@dataclass(frozen=True)
class MinioServer:
    """``environment`` is what a client process needs; ``filesystem`` may make buckets."""

    environment: dict[str, str]
    filesystem: fs.S3FileSystem

    @property
    def endpoint(self) -> str:
        return self.environment["AWS_ENDPOINT_URL"]


@contextmanager
def minio_server(folder: Path) -> Iterator[MinioServer]:
    """Serve ``folder`` until the ``with`` ends. Skips the test where MinIO cannot be built."""
    if not PROGRAM.exists():
        pytest.skip(f"no MinIO at {PROGRAM}: tools/install_minio builds it, which needs a recent Go")
    password = secrets.token_hex(16)
    api, console = _free_ports(2)
    log = folder / "minio.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [PROGRAM, "server", "--quiet", "--address", api, "--console-address", console, folder / "disk"],
            env={
                **os.environ,
                "MINIO_CI_CD": "1",
                "MINIO_ROOT_USER": "zeta",
                "MINIO_ROOT_PASSWORD": password,
            },
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(f"http://{api}/minio/health/ready", process, log)
        environment = {
            "AWS_ENDPOINT_URL": f"http://{api}",
            "AWS_ACCESS_KEY_ID": "zeta",
            "AWS_SECRET_ACCESS_KEY": password,
        }
        yield MinioServer(
            environment,
            fs.S3FileSystem(
                endpoint_override=api,
                scheme="http",
                region="us-east-1",
                access_key="zeta",
                secret_key=password,
                allow_bucket_creation=True,
            ),
        )
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"MinIO ended at once:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"MinIO was not ready within {_START_SECONDS} s:\n{log.read_text()}")


def _free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    return addresses
