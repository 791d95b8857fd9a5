"""Training runs on a GPU: tokens a second and peak memory, with and without Zeta's parts.

    tools/run python bench/gpu/training.py --data data [--seconds 30] [--model base] [--micro-batch 32]

Each line is a run of examples/train.py under ZeRO-3 in bf16, with the parts named. `tokens/s` is the median
of what the run logged in its second half, steps alone; `memory` the most that it had allocated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = [(False, "none"), (True, "none"), (True, "1.58bit"), (True, "4bit")]


def write_config(folder: Path, micro_batch: int) -> Path:
    config = json.loads((ROOT / "examples/ds_config.json").read_text())
    config["train_micro_batch_size_per_gpu"] = micro_batch
    config["optimizer"]["params"]["lr"] = 6e-4
    path = folder / "ds_config.json"
    path.write_text(json.dumps(config))
    return path


def train_arguments(config: Path, output: Path, data: str, model: str, params: str, *more: str) -> list[str]:
    """The command line of a run that does nothing but train."""
    return [
        *("--config", str(config), "--zeta_params", params, "--model", model, "--data", data),
        *("--output", str(output), "--eval-every", "0", "--save-every", "0", "--log-every", "10", *more),
    ]


def train(arguments: argparse.Namespace, config: Path, flash: bool, precision: str, output: Path) -> None:
    params = f"use_flash_attn={str(flash).lower()}, bitlinear_precision={precision}, dtype=bf16"
    limit = ("--max-minutes", str(arguments.seconds / 60))
    words = train_arguments(config, output, arguments.data, arguments.model, params, *limit)
    subprocess.run([sys.executable, str(ROOT / "examples/train.py"), *words], check=True)


def report(flash: bool, precision: str, output: Path) -> str:
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    late = records[len(records) // 2 :]
    last = records[-1]
    return (
        f"flash attention {'yes' if flash else 'no ':3}  bitlinear {precision:7}"
        f"  {median(r['tokens_per_second'] for r in late):9,.0f} tokens/s"
        f"  memory {max(r['peak_memory_bytes'] for r in records) / 2**30:5.1f} GiB"
        f"  {last['step']} steps, {last['seconds']:.0f} s, validation loss {last['validation_loss']:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--micro-batch", type=int, default=32)
    parser.add_argument("--output", type=Path, help="keep the runs here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        config = write_config(folder, arguments.micro_batch)
        lines = []
        for flash, precision in VARIANTS:
            output = folder / f"flash-{str(flash).lower()}-{precision}"
            train(arguments, config, flash, precision, output)
            lines.append(report(flash, precision, output))
    print(f"\n{torch.cuda.get_device_name()}, {arguments.model}, {arguments.micro_batch} examples a step")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
