"""AOTInductor packages that were compiled for a GPU, with and without CUDA graphs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from server_process import PATIENCE, Server, StartServer
from torch import Tensor, nn

client = pytest.importorskip("tritonclient.http", exc_type=Exception)

if not torch.cuda.is_available():
    pytest.skip("no GPU that CUDA can use", allow_module_level=True)

WIDTH = 64


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.fixture(scope="module")
def mlp() -> Mlp:
    torch.manual_seed(2)
    return Mlp().eval()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, mlp: Mlp) -> Path:
    path = tmp_path_factory.mktemp("package") / "model.pt2"
    batch = torch.export.Dim("batch", min=1, max=8)
    on_gpu = Mlp().cuda().eval()
    on_gpu.load_state_dict(mlp.state_dict())
    with torch.no_grad():
        program = torch.export.export(
            on_gpu, (torch.ones(2, WIDTH, device="cuda"),), dynamic_shapes={"x": {0: batch}}
        )
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return path


@pytest.fixture
def package_server(start_server: StartServer, package: Path, tmp_path: Path) -> Iterator[Server]:
    tensors = "".join(
        f'{kind} [ {{ name: "{name}" data_type: TYPE_FP32 dims: [ {WIDTH} ] }} ]\n'
        for kind, name in (("input", "INPUT__0"), ("output", "OUTPUT__0"))
    )
    graphs = "optimization { cuda { graphs: true } }\n"
    variants = {
        "eager": "",
        "graphs": graphs,
        "shared": 'parameters { key: "ENABLE_WEIGHT_SHARING" value { string_value: "true" } }\n' + graphs,
        "placed": "instance_group [ { kind: KIND_MODEL } ]\n",
    }
    for name, text in variants.items():
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        shutil.copy(package, tmp_path / "models" / name / "1/model.pt2")
        config = f'platform: "torch_aoti"\nmax_batch_size: 8\n{tensors}{text}'
        (tmp_path / "models" / name / "config.pbtxt").write_text(config)
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    yield server


def test_packages(package_server: Server, mlp: Mlp) -> None:
    generator = np.random.default_rng(0)
    with client.InferenceServerClient(
        package_server.url.removeprefix("http://"), network_timeout=PATIENCE
    ) as connection:
        for name in ("eager", "graphs", "shared", "placed"):
            for rows in (1, 2, 3, 8):
                values = generator.standard_normal((rows, WIDTH)).astype(np.float32)
                tensor = client.InferInput("INPUT__0", list(values.shape), "FP32")
                tensor.set_data_from_numpy(values)
                answer = connection.infer(name, [tensor]).as_numpy("OUTPUT__0")
                with torch.no_grad():
                    expected = mlp(torch.from_numpy(values)).numpy()
                # Sums of 256 products below 4, in any order; GELU's own error is below theirs.
                np.testing.assert_allclose(answer, expected, rtol=0, atol=256 * 4 * 2**-24, err_msg=name)
    metrics = package_server.metrics()
    assert metrics['nv_cuda_graph_replay_count{model="graphs",version="1"}'] == 3, package_server.log
    assert metrics['nv_cuda_graph_replay_count{model="shared",version="1"}'] == 0
    assert "ENABLE_WEIGHT_SHARING lets several threads run the package" in package_server.log
