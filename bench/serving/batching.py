"""What dynamic batching gains: an MLP behind zeta-server on one thread, many clients, batching on against off.

    tools/run python bench/serving/batching.py [--concurrency N] [--seconds S] [--rounds R] [--wire binary|json]

Both servers answer the same requests in turn, and each answer is compared with torch's. The ceiling is what the
same TorchScript model gains in this process from batches of N instead of one. Figures are best and median.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zeta.serve import Server

SIZES = (1024, 4096, 4096, 1024)
REQUESTS = 16  # different ones, in turn


def write_model(repository: Path, network: nn.Module, concurrency: int, batching: str) -> Path:
    """The model in Triton's layout; its folder."""
    folder = repository / "mlp"
    (folder / "1").mkdir(parents=True)
    torch.jit.script(network).save(str(folder / "1/model.pt"))
    (folder / "config.pbtxt").write_text(
        f'platform: "pytorch_libtorch"\nmax_batch_size: {concurrency}\n'
        f'input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {SIZES[0]} ] }} ]\n'
        f'output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {SIZES[-1]} ] }} ]\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
        'parameters { key: "INTRA_OP_THREAD_COUNT" value { string_value: "1" } }\n' + batching
    )
    return folder


def request(values: np.ndarray, wire: str) -> bytes:
    tensor: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": list(values.shape)}
    output: dict[str, object] = {"name": "y"}
    data = b""
    if wire == "binary":
        data = values.tobytes()
        tensor["parameters"] = {"binary_data_size": len(data)}
        output["parameters"] = {"binary_data": True}
    else:
        tensor["data"] = values.flatten().tolist()
    header = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    length = f"Inference-Header-Content-Length: {len(header)}\r\n" if wire == "binary" else ""
    head = f"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: x\r\n{length}Content-Length: {len(header) + len(data)}\r\n\r\n"
    return head.encode() + header + data


def read_answer(body: bytes, wire: str) -> np.ndarray:
    if wire == "binary":
        return np.frombuffer(body[-SIZES[-1] * 4 :], np.float32)
    return np.array(json.loads(body)["outputs"][0]["data"], np.float32)


async def client(
    port: int, messages: list[bytes], first: int, end: float, done: list[tuple[int, bytes]]
) -> int:
    """Sends one request after another until `end`; how many were answered. Keeps the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < end:
        number = (first + count) % len(messages)
        writer.write(messages[number])
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(body.decode(errors="replace"))
        if count == 0:
            done.append((number, body))
        count += 1
    writer.close()
    return count


async def load(
    port: int, messages: list[bytes], concurrency: int, seconds: float
) -> tuple[float, list[tuple[int, bytes]]]:
    """Requests per second, and some answers."""
    done: list[tuple[int, bytes]] = []
    began = time.perf_counter()
    clients = [client(port, messages, i, began + seconds, done) for i in range(concurrency)]
    counts = await asyncio.gather(*clients)
    return sum(counts) / (time.perf_counter() - began), done


def in_process(network: nn.Module, batch: int, seconds: float) -> float:
    """Items per second of the scripted model on one thread."""
    torch.set_num_threads(1)
    scripted = torch.jit.script(network)
    values = torch.randn(batch, SIZES[0])
    with torch.inference_mode():
        for _ in range(3):
            scripted(values)
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            scripted(values)
            count += batch
        return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wire", choices=("binary", "json"), default="binary")
    parser.add_argument("--delay-us", type=int, default=2000, help="max_queue_delay_microseconds")
    arguments = parser.parse_args()
    concurrency, seconds, wire = arguments.concurrency, arguments.seconds, arguments.wire

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in zip(SIZES, SIZES[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    network = nn.Sequential(*layers[:-1]).eval()
    values = np.random.default_rng(0).standard_normal((REQUESTS, 1, SIZES[0])).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(values)).numpy()
    messages = [request(item, wire) for item in values]

    variants = {
        "off": "",
        "on": "dynamic_batching { }\n",
        "on, delay": f"dynamic_batching {{ max_queue_delay_microseconds: {arguments.delay_us} }}\n",
    }
    rates: dict[str, list[float]] = {name: [] for name in [*variants, "process 1", "process N"]}
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: write_model(Path(folder) / name, network, concurrency, text)
            for name, text in variants.items()
        }
        for _ in range(arguments.rounds):
            rates["process 1"].append(in_process(network, 1, seconds / 2))
            rates["process N"].append(in_process(network, concurrency, seconds / 2))
            for name, model in models.items():
                with Server(model) as server:
                    port = int(server.url.rsplit(":", 1)[1])
                    asyncio.run(load(port, messages, concurrency, 1))  # TorchScript's first calls are slow
                    rate, answers = asyncio.run(load(port, messages, concurrency, seconds))
                rates[name].append(rate)
                for number, body in answers:
                    np.testing.assert_allclose(
                        read_answer(body, wire), expected[number, 0], rtol=1e-4, atol=1e-5
                    )

    for name, measured in rates.items():
        print(f"{name:10s}: best {max(measured):7.1f}, median {statistics.median(measured):7.1f} items/s")
    median = {name: statistics.median(measured) for name, measured in rates.items()}
    ceiling = median["process N"] / median["process 1"]
    print(f"in this process: {ceiling:.2f}")
    for name in list(variants)[1:]:
        gain = median[name] / median["off"]
        print(f"{name}: {gain:.2f} times off, {gain / ceiling:.0%} of the ratio in this process")


if __name__ == "__main__":
    main()
