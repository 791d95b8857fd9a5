"""Mixed traffic on a zeta-server for a long time: right answers, no crash, and memory that stays as it was.

    tools/run python tests/soak/soak.py [--seconds 600] [--seed S]

Every kind of tests/soak/traffic.py has threads of its own: inference over HTTP and gRPC, batches, sequences, a model
that is loaded and unloaded under requests, streams and connections that are cut, bad requests. After a fifth of the
time the server's resident memory, threads and open files are looked at forty times; the run fails if the median of
the last ten is more than 2 % above that of the first ten, if any answer was wrong, or if the server does not end
with 0 on SIGTERM. Exit status: 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import torch
from traffic import KINDS, Accumulator, Batched, Traffic

ROOT = Path(__file__).resolve().parents[2]
LOOKS, WARM_UP = 40, 0.2
ALLOWED_GROWTH = 1.02
THREADS_EACH = 2

ECHOES: dict[str, dict[str, object]] = {
    "identity": {"kind": "identity", "shape": [-1, 2]},
    "coming": {"kind": "identity", "shape": [-1, 2]},
    "many": {"kind": "repeat", "times": 1000, "datatype": "BYTES"},
    "slow": {"kind": "text", "delay_ms": 20, "max_in_flight": 4},
}
MLP = """platform: "pytorch_libtorch"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 8 ] } ]
dynamic_batching { max_queue_delay_microseconds: 200 }
"""
SUMS = """platform: "pytorch_libtorch"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
sequence_batching {
  max_sequence_idle_microseconds: 20000000
  oldest { max_candidate_sequences: 8 }
  control_input [ { name: "start" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]
  state [ { input_name: "total" output_name: "new_total" data_type: TYPE_FP32 dims: [ 1 ] } ]
}
"""


def write_repository(folder: Path) -> None:
    for name, settings in ECHOES.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text('backend: "echo"\n')
        (folder / name / "1/echo.json").write_text(json.dumps(settings))
    for name, module, config in (("mlp", Batched.module, MLP), ("sums", Accumulator(), SUMS)):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
        torch.jit.script(module.eval()).save(str(folder / name / "1/model.pt"))


@contextmanager
def serving(program: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int], Path]]:
    """The process, its ports by service, and its log."""
    write_repository(folder / "models")
    log = folder / "server.log"
    command = [program, "--model-repository", folder / "models", "--model-control-mode", "explicit"]
    command += ["--load-model=*", "--http-address", "127.0.0.1", "--allow-client-shm", "true"]
    for service in ("http", "grpc", "metrics"):
        command += [f"--{service}-port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=output)
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            found = re.findall(r"listening service=(\w+) address=\S+ port=(\d+)\n", log.read_text())
            ports = {service: int(port) for service, port in found}
            if {"http", "grpc", "metrics"} <= ports.keys():
                if httpx.get(f"http://127.0.0.1:{ports['http']}/v2/health/ready").status_code == 200:
                    break
            time.sleep(0.05)
        yield process, ports, log
    finally:
        process.kill()
        process.wait()


def look(pid: int) -> dict[str, float]:
    status = Path(f"/proc/{pid}/status").read_text()
    resident, threads = (int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("VmRSS", "Threads"))
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return {"resident MB": resident / 1024, "threads": threads, "open files": files}


class Crowd:
    """The threads of all kinds, what they counted and what went wrong."""

    def __init__(self, ports: dict[str, int], seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(kind, ports, seed * 1000 + 10 * i + j), daemon=True)
            for i, kind in enumerate(KINDS)
            for j in range(1 if kind.__name__ == "Loads" else THREADS_EACH)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, kind: type[Traffic], ports: dict[str, int], seed: int) -> None:
        traffic = kind(ports["http"], ports["grpc"], seed)
        while not self._stop.is_set():
            try:
                traffic.once()
            except Exception as error:
                self.wrong.append(f"{kind.__name__}, seed {seed}: {type(error).__name__}: {error}")
                return
            self.done[kind.__name__] += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
            if thread.is_alive():
                self.wrong.append(f"{thread.name} got no answer in 90 s")


def soak(program: Path, seconds: float, seed: int) -> list[str]:
    """Runs it and prints what happened; what went wrong, a line each."""
    with tempfile.TemporaryDirectory() as folder, serving(program, Path(folder)) as (process, ports, log):
        crowd = Crowd(ports, seed)
        time.sleep(seconds * WARM_UP)
        looks = []
        for _ in range(LOOKS):
            time.sleep(seconds * (1 - WARM_UP) / LOOKS)
            if process.poll() is not None or crowd.wrong:
                break
            looks.append(look(process.pid))
        crowd.stop()
        wrong = crowd.wrong
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        if process.returncode != 0:
            wrong.append(f"the server ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    print(", ".join(f"{count} {name}" for name, count in sorted(crowd.done.items())))
    for name in looks[0] if len(looks) == LOOKS else ():
        first, last = (median(one[name] for one in part) for part in (looks[:10], looks[-10:]))
        print(f"{name}: {first:.1f} at first, {last:.1f} at last")
        if name == "resident MB" and last > ALLOWED_GROWTH * first:
            wrong.append(f"{name} grew from {first:.1f} to {last:.1f}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--zeta-server", type=Path, default=ROOT / "build/release/bin/zeta-server")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"seed {args.seed}")
    wrong = soak(args.zeta_server.resolve(), args.seconds, args.seed)
    for line in wrong:
        print(f"WRONG: {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
