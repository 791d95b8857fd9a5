"""PyTorch models behind zeta-server, spoken to by Triton's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from server_process import PATIENCE, Server, StartServer, serving
from torch import Tensor, nn

client = pytest.importorskip("tritonclient.http")

WIDTH = 16


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Slow(nn.Module):
    """Gives its input back after some work, so that requests wait meanwhile; refuses what is negative."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x < 0).any()):
            raise ValueError("expected no negative values")
        work = torch.ones(700, 700)
        for _ in range(20):
            work = work @ work * 1e-6
        return x + work[0, 0] * 0


class Accumulator(nn.Module):
    """Adds up a sequence's values; says 1000 more at its start."""

    def forward(self, x: Tensor, start: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        total = total + x
        return total + 1000 * start, total


class Sums(nn.Module):
    """The sum of each request's values, which come one after another."""

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        totals = torch.cumsum(x, 0)[ends.long() - 1]
        return torch.diff(totals, prepend=torch.zeros(1)).unsqueeze(1)


MLP_TENSORS = f"""
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {WIDTH} ] }} ]
output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 8 ] }} ]
"""
SLOW_TENSORS = """
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""

SEQUENCES = """
sequence_batching {
  oldest { max_candidate_sequences: 4 }
  control_input [ { name: "start" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]
  state [ { input_name: "total" output_name: "new_total" data_type: TYPE_FP32 dims: [ 1 ] } ]
}
"""
RAGGED = """
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
batch_input [ { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_FP32 source_input: "x" } ]
dynamic_batching { max_queue_delay_microseconds: 20000 }
"""


def write(repository: Path, name: str, module: nn.Module, config: str) -> None:
    """A TorchScript model in Triton's layout."""
    (repository / name / "1").mkdir(parents=True)
    torch.jit.script(module).save(str(repository / name / "1/model.pt"))
    text = f'platform: "pytorch_libtorch"\nmax_batch_size: 8\n{config}'
    (repository / name / "config.pbtxt").write_text(text)


@pytest.fixture(scope="module")
def mlp() -> Mlp:
    torch.manual_seed(1)
    return Mlp().eval()


def call(server: Server, model: str, values: np.ndarray, **options: object) -> np.ndarray:
    """The model's first output; a connection of its own, as tritonclient's are not for several threads."""
    host = server.url.removeprefix("http://")
    with client.InferenceServerClient(host, network_timeout=PATIENCE) as connection:
        tensor = client.InferInput("x", list(values.shape), "FP32")
        tensor.set_data_from_numpy(values.astype(np.float32), binary_data=False)
        outputs = options.pop("outputs", ["OUTPUT__0" if model.startswith("mlp") else "y"])
        wanted = [client.InferRequestedOutput(name, binary_data=False) for name in outputs]
        return connection.infer(model, [tensor], outputs=wanted, **options).as_numpy(outputs[0])


@pytest.fixture(scope="module")
def torch_server(tmp_path_factory: pytest.TempPathFactory, mlp: Mlp) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("torch")
    models = folder / "models"
    write(models, "mlp", mlp, MLP_TENSORS + "dynamic_batching { }")
    write(models, "slow", Slow(), SLOW_TENSORS + "dynamic_batching { }")
    queue = "dynamic_batching { default_queue_policy { max_queue_size: 2 } }"
    write(models, "slow_bounded", Slow(), SLOW_TENSORS + queue)
    timed = "dynamic_batching { default_queue_policy { default_timeout_microseconds: 1000 } }"
    write(models, "slow_timed", Slow(), SLOW_TENSORS + timed)
    write(models, "sums", Accumulator(), SLOW_TENSORS + SEQUENCES)
    write(models, "ragged", Sums(), RAGGED)
    with serving(folder) as running:
        yield running


def test_answers_are_the_models(torch_server: Server, mlp: Mlp) -> None:
    values = np.random.default_rng(0).standard_normal((5, WIDTH)).astype(np.float32)
    expected = mlp(torch.from_numpy(values)).detach().numpy()
    # Sums of 32 products at most, each rounded to 2^-24 of values below 8.
    np.testing.assert_allclose(call(torch_server, "mlp", values), expected, rtol=0, atol=32 * 8 * 2**-24)


def test_concurrent_requests_are_batched_and_each_gets_its_own(torch_server: Server) -> None:
    before = torch_server.metrics()
    with ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(call, torch_server, "slow", np.full((1, 1), i)) for i in range(36)]
        for i, job in enumerate(jobs):
            assert job.result().tolist() == [[i]]
    after = torch_server.metrics()

    def grown(name: str) -> float:
        label = f'{name}{{model="slow",version="1"}}'
        return after[label] - before.get(label, 0)

    assert grown("nv_inference_request_success") == 36
    assert grown("nv_inference_count") == 36
    assert grown("nv_inference_exec_count") < 18, "batches of at least two on average"
    assert grown("nv_inference_queue_duration_us") > 0
    assert grown("nv_inference_compute_infer_duration_us") > grown("nv_inference_compute_output_duration_us")
    assert after['nv_inference_pending_request_count{model="slow",version="1"}'] == 0


def test_statistics_tell_the_batch_sizes(torch_server: Server) -> None:
    call(torch_server, "slow", np.full((3, 1), 1))
    with client.InferenceServerClient(torch_server.url.removeprefix("http://")) as connection:
        stats = connection.get_inference_statistics("slow")["model_stats"][0]
    sizes = {entry["batch_size"]: entry["compute_infer"]["count"] for entry in stats["batch_stats"]}
    assert sizes[3] >= 1
    assert sum(sizes.values()) == stats["execution_count"]
    assert sum(size * count for size, count in sizes.items()) == stats["inference_count"]


@pytest.mark.parametrize(
    ("model", "message"),
    [("slow_bounded", "Exceeds maximum queue size"), ("slow_timed", "Request timeout expired")],
)
def test_what_the_queue_refuses_is_unavailable(torch_server: Server, model: str, message: str) -> None:
    start = threading.Barrier(24)

    def status(i: int) -> tuple[int, str]:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [8, 1], "data": [i] * 8}]}
        start.wait()
        answer = httpx.post(f"{torch_server.url}/v2/models/{model}/infer", json=body, timeout=PATIENCE)
        return answer.status_code, answer.json().get("error", "")

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(status, range(24)))
    assert (503, message) in answers
    assert (200, "") in answers
    assert set(answers) == {(503, message), (200, "")}
    failures = f'nv_inference_request_failure{{model="{model}",version="1",reason="REJECTED"}}'
    assert torch_server.metrics()[failures] == sum(code == 503 for code, _ in answers)


def test_a_model_that_throws_tells_why_and_the_server_goes_on(torch_server: Server) -> None:
    with pytest.raises(client.InferenceServerException, match="expected no negative values") as raised:
        call(torch_server, "slow", np.full((1, 1), -1))
    assert raised.value.status() == "500"
    assert call(torch_server, "slow", np.full((1, 1), 1)).tolist() == [[1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((9, WIDTH)), r"batch-size must be <= 8 for 'mlp'"),
        (
            np.zeros((1, 3)),
            r"unexpected shape for input 'x' for model 'mlp'. Expected \[-1,16\], got \[1,3\]",
        ),
    ],
)
def test_requests_that_do_not_fit(torch_server: Server, values: np.ndarray, message: str) -> None:
    with pytest.raises(client.InferenceServerException, match=message):
        call(torch_server, "mlp", values)


def test_sequences_keep_their_state(torch_server: Server) -> None:
    def step(sequence: int | str, value: float, **flags: bool) -> float:
        answer = call(torch_server, "sums", np.full((1, 1), value), sequence_id=sequence, **flags)
        return float(answer[0, 0])

    assert step(7, 1, sequence_start=True) == 1001
    assert step("b", 10, sequence_start=True) == 1010
    assert step(7, 2) == 3
    assert step("b", 20) == 30
    assert step(7, 3, sequence_end=True) == 6
    with pytest.raises(client.InferenceServerException, match="must specify the START flag"):
        step(7, 4)
    assert step(7, 5, sequence_start=True, sequence_end=True) == 1005
    assert step("b", 30, sequence_end=True) == 60


def test_ragged_requests_share_batches(torch_server: Server) -> None:
    rows = [np.full((1, length), length) for length in (1, 2, 3, 5, 7, 4, 6, 8)]
    with ThreadPoolExecutor(len(rows)) as pool:
        answers = list(pool.map(lambda row: call(torch_server, "ragged", row)[0, 0], rows))
    assert answers == [length * length for length in (1, 2, 3, 5, 7, 4, 6, 8)]
    executions = torch_server.metrics()['nv_inference_exec_count{model="ragged",version="1"}']
    assert executions < len(rows)


def test_fifty_loads_and_unloads_leave_nothing(start_server: StartServer, tmp_path: Path) -> None:
    big = nn.Sequential(nn.Linear(WIDTH, 4096), nn.Linear(4096, 1024), nn.Linear(1024, 8)).eval()

    class Big(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = big

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    write(tmp_path / "models", "mlp", Big(), MLP_TENSORS + "dynamic_batching { }")
    server = start_server("--model-repository", tmp_path / "models", "--model-control-mode", "explicit")
    server.wait_live()

    def resident() -> int:
        pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    with client.InferenceServerClient(
        server.url.removeprefix("http://"), network_timeout=PATIENCE
    ) as control:

        def cycle() -> None:
            control.load_model("mlp")
            call(server, "mlp", np.ones((2, WIDTH)))
            control.unload_model("mlp")
            server.wait_until(lambda: not control.is_model_ready("mlp"), "unloaded")

        for _ in range(10):
            cycle()
        before = resident()
        for _ in range(50):
            cycle()
    # The allocator keeps a copy or two of what has just gone; one a cycle would be fifty.
    weights = sum(p.numel() for p in big.parameters()) * 4
    assert resident() - before < 5 * weights, (
        "50 cycles left less than five copies of the weights, 17 MB each"
    )
