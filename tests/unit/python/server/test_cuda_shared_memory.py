"""Tensors in GPU memory that a client has exported, over both protocols."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from server_process import Server

httpclient = pytest.importorskip("tritonclient.http", exc_type=Exception)
from tritonclient.utils import InferenceServerException  # noqa: E402

if not torch.cuda.is_available():
    pytest.skip("no GPU that CUDA can use", allow_module_level=True)
from tritonclient.utils import cuda_shared_memory  # noqa: E402

SIZE = 64
VALUES = np.array([[1.5, -2], [3, 4]], dtype=np.float32)


@pytest.fixture(params=["grpc", "http"])
def module(request: pytest.FixtureRequest) -> object:
    if request.param == "http":
        return httpclient
    return pytest.importorskip("tritonclient.grpc", exc_type=Exception)


@pytest.fixture
def client(server: Server, module: object) -> Iterator[object]:
    url = server.url.removeprefix("http://") if module is httpclient else server.grpc_url
    opened = module.InferenceServerClient(url)
    yield opened
    opened.unregister_cuda_shared_memory()
    opened.close()


@pytest.fixture
def region() -> Iterator[object]:
    handle = cuda_shared_memory.create_shared_memory_region("test", SIZE, 0)
    yield handle
    cuda_shared_memory.destroy_shared_memory_region(handle)


def names(client: object, module: object) -> list[str]:
    status = client.get_cuda_shared_memory_status()
    return [entry["name"] for entry in status] if module is httpclient else sorted(status.regions)


def test_inputs_and_outputs(client: object, module: object, region: object) -> None:
    cuda_shared_memory.set_shared_memory_region(region, [VALUES])
    client.register_cuda_shared_memory("all", cuda_shared_memory.get_raw_handle(region), 0, SIZE)
    given, wanted = module.InferInput("INPUT0", [2, 2], "FP32"), module.InferRequestedOutput("OUTPUT0")
    given.set_shared_memory("all", 16)
    wanted.set_shared_memory("all", 16, offset=32)
    client.infer("identity", [given], outputs=[wanted])
    whole = cuda_shared_memory.get_contents_as_numpy(region, np.float32, [16])
    np.testing.assert_array_equal(whole[8:12], VALUES.flatten())
    np.testing.assert_array_equal(whole[:4], VALUES.flatten())


def test_status_and_unregistration(client: object, module: object, region: object) -> None:
    raw = cuda_shared_memory.get_raw_handle(region)
    client.register_cuda_shared_memory("one", raw, 0, SIZE)
    client.register_cuda_shared_memory("two", raw, 0, 16)
    assert names(client, module) == ["one", "two"]
    status = client.get_cuda_shared_memory_status("two")
    entry = status[0] if module is httpclient else status.regions["two"]
    size = entry["byte_size"] if module is httpclient else entry.byte_size
    assert int(size) == 16
    with pytest.raises(InferenceServerException, match="shared memory region 'one' already in manager"):
        client.register_cuda_shared_memory("one", raw, 0, SIZE)
    words = "The region named 'one' is registered as CUDA shared memory, not system shared memory"
    with pytest.raises(InferenceServerException, match=words):
        client.get_system_shared_memory_status("one")
    client.unregister_system_shared_memory("one")
    assert names(client, module) == ["one", "two"]
    client.unregister_cuda_shared_memory("one")
    assert names(client, module) == ["two"]
    with pytest.raises(InferenceServerException, match="Unable to find cuda shared memory region: 'one'"):
        client.get_cuda_shared_memory_status("one")
    client.unregister_cuda_shared_memory()
    assert names(client, module) == []


def test_bad_registrations(client: object, region: object) -> None:
    raw = cuda_shared_memory.get_raw_handle(region)
    larger = 1 << 40
    for handle, device, size in [(raw, 0, larger), (raw, 4096, SIZE), (raw, 0, 0), (b"AAAA", 0, SIZE)]:
        with pytest.raises(InferenceServerException, match="shared memory region 'bad': invalid args"):
            client.register_cuda_shared_memory("bad", handle, device, size)
    nothing = base64.b64encode(bytes(64))
    with pytest.raises(
        InferenceServerException, match="failed to register shared memory region: invalid args"
    ):
        client.register_cuda_shared_memory("bad", nothing, 0, SIZE)


def test_bad_requests(client: object, module: object, region: object) -> None:
    client.register_cuda_shared_memory("all", cuda_shared_memory.get_raw_handle(region), 0, SIZE)
    given = module.InferInput("INPUT0", [2, 2], "FP32")
    given.set_shared_memory("all", 16, offset=SIZE - 8)
    words = "Invalid offset \\+ byte size for shared memory region: 'all'"
    with pytest.raises(InferenceServerException, match=words):
        client.infer("identity", [given])
