"""Tensors in the client's shared memory, over both protocols."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from server_process import Server, StartServer, write_model

grpcclient = pytest.importorskip("tritonclient.grpc", exc_type=Exception)
httpclient = pytest.importorskip("tritonclient.http", exc_type=Exception)
from tritonclient.utils import InferenceServerException, shared_memory  # noqa: E402

SIZE = 64
VALUES = np.array([[1.5, -2], [3, 4]], dtype=np.float32)


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(server: Server, protocol: str) -> Iterator[object]:
    if protocol == "grpc":
        opened = grpcclient.InferenceServerClient(server.grpc_url)
    else:
        opened = httpclient.InferenceServerClient(server.url.removeprefix("http://"))
    yield opened
    opened.unregister_system_shared_memory()
    opened.close()


@pytest.fixture
def region() -> Iterator[tuple[str, object]]:
    """A shared memory object of SIZE bytes: its key and a handle."""
    key = f"/test-{uuid.uuid4()}"
    handle = shared_memory.create_shared_memory_region("test", key, SIZE)
    yield key, handle
    shared_memory.destroy_shared_memory_region(handle)


def tensors(protocol: str) -> tuple[object, object]:
    module = grpcclient if protocol == "grpc" else httpclient
    return module.InferInput("INPUT0", [2, 2], "FP32"), module.InferRequestedOutput("OUTPUT0")


def test_inputs_and_outputs(client: object, protocol: str, region: tuple[str, object]) -> None:
    key, handle = region
    shared_memory.set_shared_memory_region(handle, [VALUES])
    client.register_system_shared_memory("all", key, SIZE)
    given, wanted = tensors(protocol)
    given.set_shared_memory("all", 16)
    wanted.set_shared_memory("all", 16, offset=32)
    answer = client.infer("identity", [given], outputs=[wanted])
    if protocol == "grpc":
        assert answer.get_response().raw_output_contents == [b""]
    else:
        assert answer.get_output("OUTPUT0") == {"name": "OUTPUT0", "datatype": "FP32", "shape": [2, 2]}
    assert (shared_memory.get_contents_as_numpy(handle, np.float32, [2, 2], 32) == VALUES).all()


def test_status_and_life(client: object, protocol: str, region: tuple[str, object]) -> None:
    key, _ = region
    client.register_system_shared_memory("part", key, 32, offset=8)
    status = client.get_system_shared_memory_status()
    if protocol == "grpc":
        found = status.regions["part"]
        assert (found.key, found.offset, found.byte_size) == (key, 8, 32)
    else:
        assert status == [{"name": "part", "key": key, "offset": 8, "byte_size": 32}]
    with pytest.raises(InferenceServerException, match="shared memory region 'part' already in manager"):
        client.register_system_shared_memory("part", key, 32)
    client.unregister_system_shared_memory("part")
    client.unregister_system_shared_memory("part")
    with pytest.raises(InferenceServerException, match="Unable to find system shared memory region: 'part'"):
        client.get_system_shared_memory_status("part")
    client.register_system_shared_memory("part", key, 32)


def test_bad_registrations(client: object, region: tuple[str, object]) -> None:
    key, _ = region
    for bad, size, offset, words in [
        ("/no-such-object", 8, 0, "Unable to open shared memory region: '/no-such-object'"),
        ("/../etc/passwd", 8, 0, "one file name"),
        ("../../etc/passwd", 8, 0, "one file name"),
        ("/", 8, 0, "one file name"),
        ("/triton_python_backend", 8, 0, "reserved"),
        (key, 0, 0, "Invalid shared memory region"),
        (key, SIZE + 1, 0, "failed to register shared memory region 'bad': invalid args"),
        (key, 8, SIZE - 7, "invalid args"),
        (key, 2**63, 2**62, "invalid args"),
    ]:
        with pytest.raises(InferenceServerException, match=words):
            client.register_system_shared_memory("bad", bad, size, offset=offset)


def test_bad_requests(client: object, protocol: str, region: tuple[str, object]) -> None:
    key, _ = region
    client.register_system_shared_memory("all", key, SIZE)
    for name, size, offset, words in [
        ("other", 16, 0, "Unable to find shared memory region: 'other'"),
        ("all", 16, SIZE - 8, "Invalid offset \\+ byte size for shared memory region: 'all'"),
        ("all", 2**62, 2**62, "Invalid offset \\+ byte size"),
        ("all", 8, 0, "input byte size mismatch for input 'INPUT0' for model 'identity'. Expected 16, got 8"),
    ]:
        given, _ = tensors(protocol)
        given.set_shared_memory(name, size, offset)
        with pytest.raises(InferenceServerException, match=words):
            client.infer("identity", [given])
    given, wanted = tensors(protocol)
    given.set_shared_memory("all", 16)
    wanted.set_shared_memory("all", 8)
    with pytest.raises(InferenceServerException, match="should be at least 16 bytes"):
        client.infer("identity", [given], outputs=[wanted])


def test_memory_of_a_gpu_is_refused_by_name(client: object) -> None:
    with pytest.raises(
        InferenceServerException, match="CUDA shared memory region: 'gpu', GPUs not supported"
    ):
        client.register_cuda_shared_memory("gpu", b"AAAA", 0, 8)


def test_off_unless_allowed(start_server: StartServer, tmp_path: Path, region: tuple[str, object]) -> None:
    write_model(tmp_path / "models", "identity", {})
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    with httpclient.InferenceServerClient(server.url.removeprefix("http://")) as client:
        with pytest.raises(InferenceServerException, match="--allow-client-shm"):
            client.register_system_shared_memory("all", region[0], SIZE)
