"""zeta-server against tritonserver (Python backend) on models that compute nothing: what a request costs.

    tools/run python bench/serving/kserve.py --perf-analyzer FILE [--triton FOLDER] [--seconds S]

FILE is perf_analyzer as the tritonclient 2.51.0 wheel has it (it needs Debian's libb64-0d and a libcudart.so.12
on LD_LIBRARY_PATH), FOLDER the `pytriton/tritonserver` of the nvidia-pytriton wheel with the stub of this Python in
its `backends/python`. Both serve the same `identity` model of 16 FP32 values; perf_analyzer runs on the same
machine. The server's CPU seconds are those of all its processes while perf_analyzer measures, divided by the
requests that the server itself counts in that time.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zeta.serve import free_ports

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """backend: "%s"
input [{ name: "INPUT0" data_type: TYPE_FP32 dims: [16] }]
output [{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [16] }]
"""
PYTHON_MODEL = """import triton_python_backend_utils as utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = [utils.get_input_tensor_by_name(request, "INPUT0").as_numpy() for request in requests]
        return [utils.InferenceResponse([utils.Tensor("OUTPUT0", tensor)]) for tensor in tensors]
"""


@dataclass
class Running:
    name: str
    process: subprocess.Popen[bytes]
    http: int
    grpc: int
    metrics: int

    def requests(self) -> float:
        """How many the server has answered."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as page:
            text = page.read().decode()
        return float(re.search(r"^nv_inference_request_success\{[^}]*\} (\S+)$", text, re.MULTILINE)[1])

    def cpu_seconds(self) -> float:
        """Of the process and all below it."""
        ticks, waiting = 0, [self.process.pid]
        while waiting:
            task = Path(f"/proc/{waiting.pop()}")
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
            waiting += [
                int(child) for one in task.glob("task/*/children") for child in one.read_text().split()
            ]
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident megabytes of the main process."""
        return (
            int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024
        )


@contextmanager
def serve(name: str, command: list[str | Path], ports: tuple[int, int, int]) -> Iterator[Running]:
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        try:
            ready = f"http://127.0.0.1:{ports[0]}/v2/health/ready"
            while True:
                assert process.poll() is None and time.perf_counter() < started + 60, (
                    log.seek(0),
                    log.read(),
                )
                try:
                    urllib.request.urlopen(ready)
                    break
                except OSError:
                    time.sleep(0.01)
            running = Running(name, process, *ports)
            print(f"{name}: ready in {time.perf_counter() - started:.2f} s, {running.memory():.0f} MB")
            yield running
        finally:
            process.terminate()
            process.wait()


@contextmanager
def zeta(folder: Path, program: Path) -> Iterator[Running]:
    (folder / "zeta/identity/1").mkdir(parents=True)
    (folder / "zeta/identity/config.pbtxt").write_text('backend: "echo"\n')
    (folder / "zeta/identity/1/echo.json").write_text('{"kind": "identity", "shape": [16]}')
    ports = free_ports(0, 0, 0)
    names = ["--http-port", "--grpc-port", "--metrics-port"]
    flags = [str(word) for pair in zip(names, ports, strict=True) for word in pair]
    command = [program, "--model-repository", folder / "zeta", "--http-address", "127.0.0.1", *flags]
    with serve("zeta-server", command, ports) as running:
        yield running


@contextmanager
def triton(folder: Path, home: Path) -> Iterator[Running]:
    (folder / "triton/identity/1").mkdir(parents=True)
    (folder / "triton/identity/config.pbtxt").write_text(CONFIG % "python")
    (folder / "triton/identity/1/model.py").write_text(PYTHON_MODEL)
    ports = free_ports(0, 0, 0)
    names = ["--http-port", "--grpc-port", "--metrics-port"]
    flags = [str(word) for pair in zip(names, ports, strict=True) for word in pair]
    directories = ["--model-repository", folder / "triton", "--backend-directory", home / "backends"]
    with serve("tritonserver", [home / "bin/tritonserver", *directories, *flags], ports) as running:
        yield running


def measure(
    server: Running, protocol: str, concurrency: int, analyzer: Path, seconds: float
) -> dict[str, float]:
    """Requests/s and latencies as perf_analyzer sees them, CPU as the server spends it."""
    port = server.http if protocol == "http" else server.grpc
    requests, cpu = server.requests(), server.cpu_seconds()
    with tempfile.NamedTemporaryFile(suffix=".csv") as table:
        command = [
            analyzer,
            "-m",
            "identity",
            "-u",
            f"127.0.0.1:{port}",
            "-i",
            protocol,
            "-f",
            table.name,
        ]
        command += ["--concurrency-range", concurrency, "-p", int(seconds * 1000), "-r", 6, "-s", 100]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        with open(table.name) as text:
            row = next(csv.DictReader(text))
    cpu, requests = server.cpu_seconds() - cpu, server.requests() - requests
    return {
        "requests/s": float(row["Inferences/Second"]),
        "p50 us": float(row["p50 latency"]),
        "p99 us": float(row["p99 latency"]),
        "CPU s/1000": 1000 * cpu / requests,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--perf-analyzer", type=Path, required=True)
    parser.add_argument("--zeta-server", type=Path, default=ROOT / "build/release/bin/zeta-server")
    parser.add_argument("--triton", type=Path, help="folder of tritonserver")
    parser.add_argument("--seconds", type=float, default=2, help="of each of three measurements")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    arguments = parser.parse_args()
    cost: dict[tuple[str, str, int], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = [zeta(Path(folder), arguments.zeta_server.resolve())]
        if arguments.triton:
            servers.append(triton(Path(folder), arguments.triton.resolve()))
        for opened in servers:
            with opened as server:
                for protocol in ("http", "grpc"):
                    for concurrency in arguments.concurrency:
                        figures = measure(
                            server,
                            protocol,
                            concurrency,
                            arguments.perf_analyzer.resolve(),
                            arguments.seconds,
                        )
                        cost[server.name, protocol, concurrency] = figures["CPU s/1000"]
                        words = ", ".join(f"{value:.4g} {name}" for name, value in figures.items())
                        print(f"{server.name} {protocol} {concurrency}: {words}", flush=True)
    for (name, protocol, concurrency), ours in cost.items():
        theirs = cost.get(("tritonserver", protocol, concurrency))
        if name == "zeta-server" and theirs:
            print(f"{protocol} {concurrency}: {theirs / ours:.1f} x the requests per CPU second")


if __name__ == "__main__":
    main()
