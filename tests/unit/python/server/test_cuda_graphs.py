"""PyTorch models on a GPU: instances, CUDA graphs, and what becomes of models that cannot be captured."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from server_process import PATIENCE, Server, StartServer, serving
from torch import Tensor, nn

client = pytest.importorskip("tritonclient.http", exc_type=Exception)

WIDTH = 64
# The products of two layers, added in any order: each sum of 256 values below 4 in 24 bits.
TOLERANCE = 256 * 4 * 2**-24
GRAPHS = "optimization { cuda { graphs: true } }\n"
ON_GPU = "instance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n"
REPLAYS = "nv_cuda_graph_replay_count"

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(WIDTH, 256), nn.ReLU(), nn.Linear(256, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Branches(nn.Module):
    """Asks the GPU for a value before it goes on, which no graph can."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if bool((x.sum() > 0).item()) else x - 1


class Counts(nn.Module):
    """Adds the number of its runs, counted on the host, where a graph does not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x + self.runs


class Accumulates(nn.Module):
    """Gives its input back, and adds it to a buffer that only its sibling output shows."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(x.sum(0))
        return self.total + 0 * x


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Greedy(nn.Module):
    """Asks for as many gigabytes as its first value says."""

    def forward(self, x: Tensor) -> Tensor:
        size = int(x[0, 0].item())
        return x + torch.zeros(size * (1 << 28), device=x.device)[:1].sum() if size > 0 else x


class Moves(nn.Module):
    """Computes on the GPU, wherever its input is."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to("cuda") * 2


TENSORS = f"""
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {WIDTH} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {WIDTH} ] }} ]
"""


def write(repository: Path, name: str, module: nn.Module, config: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    torch.jit.script(module.eval()).save(str(repository / name / "1/model.pt"))
    text = f'platform: "pytorch_libtorch"\nmax_batch_size: 8\n{TENSORS}{config}'
    (repository / name / "config.pbtxt").write_text(text)


def call(server: Server, model: str, values: np.ndarray) -> np.ndarray:
    host = server.url.removeprefix("http://")
    with client.InferenceServerClient(host, network_timeout=PATIENCE) as connection:
        tensor = client.InferInput("x", list(values.shape), "FP32")
        tensor.set_data_from_numpy(values.astype(np.float32))
        return connection.infer(model, [tensor]).as_numpy("y")


def random(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, WIDTH)).astype(np.float32)


def replays(server: Server, model: str) -> float:
    return server.metrics()[f'{REPLAYS}{{model="{model}",version="1"}}']


@pytest.fixture(scope="module")
def mlp() -> Mlp:
    torch.manual_seed(1)
    return Mlp().eval()


def expected(mlp: Mlp, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return mlp(torch.from_numpy(values)).numpy()


SPEC = """optimization { cuda { graphs: true busy_wait_events: true output_copy_stream: true
  graph_spec { batch_size: 4 graph_lower_bound { batch_size: 3 } } } }
"""


@pytest.fixture(scope="module")
def gpu_server(tmp_path_factory: pytest.TempPathFactory, mlp: Mlp) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cuda")
    models = folder / "models"
    write(models, "mlp", mlp, ON_GPU)
    write(models, "graphs", mlp, ON_GPU + GRAPHS)
    write(models, "spec", mlp, ON_GPU + SPEC)
    write(
        models, "pair", mlp, "instance_group [ { kind: KIND_GPU count: 2 } ] dynamic_batching { }\n" + GRAPHS
    )
    for name, module in [("branches", Branches()), ("counts", Counts()), ("noise", Noise())]:
        write(models, name, module, ON_GPU + GRAPHS)
    write(models, "accumulates", Accumulates(), ON_GPU + GRAPHS)
    write(models, "greedy", Greedy(), ON_GPU)
    write(models, "moves", Moves(), "instance_group [ { kind: KIND_MODEL } ]\n")
    flags = ["--model-control-mode", "explicit", "--load-model", "*", "--metrics-interval-ms", "50"]
    with serving(folder, *flags) as running:
        yield running


@needs_gpu
def test_answers_from_a_gpu(gpu_server: Server, mlp: Mlp) -> None:
    for rows in (1, 3, 8):
        answer = call(gpu_server, "mlp", random(rows))
        np.testing.assert_allclose(answer, expected(mlp, random(rows)), rtol=0, atol=TOLERANCE)


@needs_gpu
@pytest.mark.parametrize(("rows", "replayed"), [(1, 1), (2, 1), (3, 0), (4, 1), (5, 0), (8, 1)])
def test_graphs_run_the_powers_of_two(gpu_server: Server, mlp: Mlp, rows: int, replayed: int) -> None:
    before = replays(gpu_server, "graphs")
    for seed in (1, 2):
        answer = call(gpu_server, "graphs", random(rows, seed))
        np.testing.assert_allclose(answer, expected(mlp, random(rows, seed)), rtol=0, atol=TOLERANCE)
    assert replays(gpu_server, "graphs") - before == 2 * replayed


@needs_gpu
@pytest.mark.parametrize(("rows", "replayed"), [(2, 0), (3, 1), (4, 1), (5, 0)])
def test_a_specification_and_its_lower_bound(gpu_server: Server, mlp: Mlp, rows: int, replayed: int) -> None:
    before = replays(gpu_server, "spec")
    answer = call(gpu_server, "spec", random(rows))
    np.testing.assert_allclose(answer, expected(mlp, random(rows)), rtol=0, atol=TOLERANCE)
    assert replays(gpu_server, "spec") - before == replayed


@needs_gpu
def test_two_instances_replay_side_by_side(gpu_server: Server, mlp: Mlp) -> None:
    def ask(i: int) -> None:
        rows = (1, 2, 4, 3)[i % 4]
        np.testing.assert_allclose(
            call(gpu_server, "pair", random(rows, i)), expected(mlp, random(rows, i)), rtol=0, atol=TOLERANCE
        )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(200)))
    assert replays(gpu_server, "pair") > 0


@needs_gpu
@pytest.mark.parametrize(
    ("model", "why"),
    [("branches", "cannot be recorded"), ("counts", "a replay differs from an eager run"), ("noise", "it ")],
)
def test_what_no_graph_can_do_runs_eager_and_the_log_says_so(
    gpu_server: Server, model: str, why: str
) -> None:
    lines = [line for line in gpu_server.log.splitlines() if f"model={model} " in line and "notice" in line]
    assert any("runs eager" in line and why in line for line in lines), gpu_server.log
    values = random(1)
    answer = call(gpu_server, model, values)
    if model == "branches":
        np.testing.assert_array_equal(answer, values + (1 if values.sum() > 0 else -1))
    elif model == "counts":
        np.testing.assert_array_equal(answer, values + 1)  # trial runs do not count
    else:
        assert ((answer >= values) & (answer <= values + 1)).all()
        assert not (call(gpu_server, model, values) == answer).all()
    assert replays(gpu_server, model) == 0


@needs_gpu
def test_trial_runs_leave_a_models_state_alone(gpu_server: Server) -> None:
    ones = np.ones((1, WIDTH), np.float32)
    np.testing.assert_array_equal(call(gpu_server, "accumulates", ones), ones)
    np.testing.assert_array_equal(call(gpu_server, "accumulates", ones), 2 * ones)


@needs_gpu
def test_too_much_memory_fails_one_request(gpu_server: Server) -> None:
    values = np.zeros((1, WIDTH), np.float32)
    values[0, 0] = 4096
    with pytest.raises(client.InferenceServerException, match="out of memory"):
        call(gpu_server, "greedy", values)
    values[0, 0] = 0
    np.testing.assert_array_equal(call(gpu_server, "greedy", values), values)


@needs_gpu
def test_a_model_that_moves_itself(gpu_server: Server) -> None:
    np.testing.assert_array_equal(call(gpu_server, "moves", random(2)), random(2) * 2)


@needs_gpu
def test_figures_of_the_gpus(gpu_server: Server) -> None:
    metrics = gpu_server.metrics()
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"

    def value(name: str) -> float:
        return metrics[f'{name}{{gpu_uuid="{uuid}"}}']

    assert 0 <= value("nv_gpu_utilization") <= 1
    assert 0 < value("nv_gpu_memory_used_bytes") <= value("nv_gpu_memory_total_bytes")
    assert 0 < value("nv_gpu_power_usage") <= 2 * value("nv_gpu_power_limit")
    assert value("nv_energy_consumption") >= 0


@needs_gpu
def test_loads_and_unloads_leave_no_memory_on_the_gpu(gpu_server: Server) -> None:
    with client.InferenceServerClient(gpu_server.url.removeprefix("http://")) as connection:

        def cycle() -> int:
            connection.unload_model("graphs")
            gpu_server.wait_until(lambda: not connection.is_model_ready("graphs"), "unloaded")
            connection.load_model("graphs")
            call(gpu_server, "graphs", random(8))
            return torch.cuda.mem_get_info()[0]

        free = [cycle() for _ in range(8)]
    # A graph's pool has blocks of 2 MiB; a leak of one would take 5 of them away.
    assert free[2] - free[-1] < 5 * (2 << 20), free


def test_the_cpu_accepts_graphs_and_says_so(start_server: StartServer, tmp_path: Path, mlp: Mlp) -> None:
    on_cpu = "instance_group [ { kind: KIND_CPU } ]\n"
    write(tmp_path / "models", "graphs", mlp, on_cpu + SPEC)
    server = start_server("--model-repository", tmp_path / "models")
    server.wait_ready()
    np.testing.assert_allclose(
        call(server, "graphs", random(4)), expected(mlp, random(4)), rtol=0, atol=TOLERANCE
    )
    assert "optimization.cuda.graphs: not captured on the CPU" in server.log
    assert replays(server, "graphs") == 0
    with client.InferenceServerClient(server.url.removeprefix("http://")) as connection:
        cuda = connection.get_model_config("graphs")["optimization"]["cuda"]
    assert cuda["graphs"] is True
    assert cuda["graph_spec"][0]["graph_lower_bound"]["batch_size"] == 3
    assert not [name for name in server.metrics() if name.startswith("nv_gpu")] or torch.cuda.is_available()
