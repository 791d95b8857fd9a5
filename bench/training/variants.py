"""Training speed and memory with and without FlashAttention and BitLinear, by `examples/train.py` under ZeRO-3.

    tools/run python bench/training/variants.py --data SHARDS [--model small] [--seq-len N] [--steps N] [--rounds R]

Every round trains each variant anew for a few steps, in turn. A variant's speed is the best and the median over
all rounds of tokens/s, the first half of each run left out as warm-up; its memory is the largest of any rank 0.
`sdpa` is PyTorch's own fused attention; `none` leaves the linear layers as they are. Ratios are against the
variant with neither.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass
class Variant:
    """One row: what is switched on, and what its runs measured (tokens/s, bytes)."""

    name: str
    params: str
    rates: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    loss: float = 0.0

    def train(self, arguments: argparse.Namespace) -> None:
        with tempfile.TemporaryDirectory() as folder:
            params = f"{self.params}, dtype={arguments.dtype}, seq_len={arguments.seq_len}"
            command = ["deepspeed", "train.py", "--config", str(arguments.config), "--zeta_params", params,
                       "--model", arguments.model, "--data", str(arguments.data.resolve()),
                       "--output", folder, "--steps", str(arguments.steps), "--log-every", "1",
                       "--eval-every", "0", "--eval-tokens", "1", "--save-every", "0"]  # fmt: skip
            done = subprocess.run(
                command, cwd=EXAMPLES, env=os.environ | ranks(), capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"{self.name}: exit {done.returncode}\n{done.stderr[-2000:]}")
            lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "tokens_per_second" in line]
        self.rates += [line["tokens_per_second"] for line in steps[len(steps) // 2 :]]
        self.peak_bytes = max(self.peak_bytes, steps[-1]["peak_memory_bytes"])
        self.loss = steps[-1]["loss"]


def ranks() -> dict[str, str]:
    """Two ranks of one thread each on a CPU, one a GPU else."""
    import torch

    return {} if torch.cuda.is_available() else {"LOCAL_SIZE": "2", "OMP_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="token shards of zeta.data prepare")
    parser.add_argument("--config", type=Path, default=EXAMPLES / "ds_config.json")
    parser.add_argument("--model", default="small")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    variants = [
        Variant("sdpa, none", "use_flash_attn=false, bitlinear_precision=none"),
        Variant("zeta, none", "use_flash_attn=true, bitlinear_precision=none"),
        Variant("sdpa, 4bit", "use_flash_attn=false, bitlinear_precision=4bit"),
        Variant("zeta, 4bit", "use_flash_attn=true, bitlinear_precision=4bit"),
        Variant("zeta, 1.58bit", "use_flash_attn=true, bitlinear_precision=1.58bit"),
    ]
    for _ in range(arguments.rounds):
        for variant in variants:
            variant.train(arguments)

    plain = variants[0]
    print(
        f"model {arguments.model}, seq_len {arguments.seq_len}, dtype {arguments.dtype}, {arguments.steps} steps"
    )
    print("| attention, linear | tokens/s best | median | ratio | peak MiB | loss |")
    print("|---|---|---|---|---|---|")
    for variant in variants:
        median = statistics.median(variant.rates)
        print(
            f"| {variant.name} | {max(variant.rates):,.0f} | {median:,.0f} "
            f"| {median / statistics.median(plain.rates):.2f} | {variant.peak_bytes >> 20:,} | {variant.loss:.3f} |"
        )


if __name__ == "__main__":
    main()
