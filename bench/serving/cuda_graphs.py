"""What CUDA graphs gain: a 12-layer encoder (TorchScript) behind zeta-server on a GPU, graphs on against off.

    tools/run python bench/serving/cuda_graphs.py [--batches 1 2 4 8] [--requests N] [--rounds R] [--half]

One client sends token numbers over HTTP and gets the first token's vector of each item, request after request.
Both servers run all the while and are asked in turn; each answer is compared with torch's. Figures are
milliseconds from the request's first byte to the answer's last: the median of each round, then best and median.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from zeta.serve import Server

VOCABULARY, LENGTH, WIDTH, HEADS, LAYERS = 30_000, 128, 768, 12, 12


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = HEADS
        self.before_attention, self.before_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.before_attention(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attention.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.before_mlp(x))))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.Sequential(*[Layer() for _ in range(LAYERS)])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight
        return self.layers(x)[:, 0].float()


CONFIG = f"""platform: "pytorch_libtorch"
max_batch_size: 8
input [ {{ name: "ids" data_type: TYPE_INT64 dims: [ {LENGTH} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {WIDTH} ] }} ]
instance_group [ {{ kind: KIND_GPU count: 1 gpus: [ 0 ] }} ]
"""


def write_model(folder: Path, network: nn.Module, graphs: str) -> Path:
    (folder / "encoder/1").mkdir(parents=True)
    torch.jit.script(network).save(str(folder / "encoder/1/model.pt"))
    (folder / "encoder/config.pbtxt").write_text(
        f"{CONFIG}optimization {{ cuda {{ graphs: {graphs} busy_wait_events: true }} }}\n"
    )
    return folder / "encoder"


class Client:
    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def ask(self, ids: np.ndarray) -> tuple[float, np.ndarray]:
        """Seconds, and the answer."""
        tensor = {"name": "ids", "datatype": "INT64", "shape": list(ids.shape)}
        tensor["parameters"] = {"binary_data_size": ids.nbytes}
        header = {"inputs": [tensor], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
        head = json.dumps(header).encode()
        body = head + ids.tobytes()
        began = time.perf_counter()
        self.connection.request(
            "POST", "/v2/models/encoder/infer", body, {"Inference-Header-Content-Length": str(len(head))}
        )
        response = self.connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - began
        if response.status != 200:
            raise RuntimeError(answer.decode(errors="replace"))
        return seconds, np.frombuffer(answer[-4 * WIDTH * len(ids) :], np.float32).reshape(len(ids), WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--requests", type=int, default=200, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--half", action="store_true", help="weights and activations in FP16")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    network = Encoder().eval()
    network = network.half() if arguments.half else network
    generator = np.random.default_rng(0)
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {'FP16' if arguments.half else 'FP32'}"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        models = {name: write_model(folder / name, network, name) for name in ("true", "false")}
        servers = {name: stack.enter_context(Server(model)) for name, model in models.items()}
        clients = {name: Client(server) for name, server in servers.items()}
        on_gpu = network.cuda()
        for batch in arguments.batches:
            ids = generator.integers(0, VOCABULARY, (batch, LENGTH))
            with torch.inference_mode():
                expected = on_gpu(torch.from_numpy(ids).cuda()).cpu().numpy()
            medians: dict[str, list[float]] = {"true": [], "false": []}
            for client in clients.values():
                for _ in range(10):
                    _, answer = client.ask(ids)
                # The same kernels on the same card, of up to 2^-10 of the largest value in FP16.
                np.testing.assert_allclose(answer, expected, rtol=0, atol=2**-8 * np.abs(expected).max())
            for _ in range(arguments.rounds):
                for name, client in clients.items():
                    times = [client.ask(ids)[0] * 1e3 for _ in range(arguments.requests)]
                    medians[name].append(statistics.median(times))
            on, off = medians["true"], medians["false"]
            print(
                f"batch {batch}: off best {min(off):.3f} median {statistics.median(off):.3f} ms, "
                f"on best {min(on):.3f} median {statistics.median(on):.3f} ms, "
                f"{statistics.median(off) / statistics.median(on):.2f} times"
            )


if __name__ == "__main__":
    main()
