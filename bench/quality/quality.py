"""What quantisation-aware training costs in validation loss: paired runs of one small Llama on real text.

    tools/run python bench/quality/corpus.py FOLDER
    tools/run python bench/quality/quality.py FOLDER --output results.jsonl --compile --derive

Every variant trains with the same seeds; a seed fixes the first weights and the order of the text for all of
them, so that differences are taken seed by seed. `--derive` goes on from the bf16 runs: rounding and GPTQ
afterwards, and quantised training for the last 30 % of the steps alone. A kind's runs are one process,
`--jobs` of them side by side. Each finished run is a line of the output; started again, only what is missing
is run.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

BASELINE = "bf16"
KINDS = (BASELINE, "4bit", "1.58bit", "fp8", "plain b1.58")
DERIVED = (
    "4bit, rtn afterwards",
    "4bit, gptq afterwards",
    "4bit, last 30%",
    "1.58bit, last 30%",
    "fp8, last 30%",
)


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.kind:
        _run_seeds(arguments)
        return
    wanted = [k for k in arguments.kinds if any(_missing(arguments, k, seed) for seed in arguments.seeds)]
    running: list[subprocess.Popen] = []
    failed = 0
    while wanted or running:
        while wanted and len(running) < arguments.jobs:
            running.append(subprocess.Popen([sys.executable, *sys.argv, "--kind", wanted.pop(0)]))
        failed += running.pop(0).wait() != 0
    print(table(_losses(arguments.output)))
    sys.exit(1 if failed else 0)


def table(losses: dict[tuple[str, int], float]) -> str:
    """Mean and standard error over the seeds of the paired difference to `bf16`, in % of its loss."""
    rows = ["| | validation loss | gap to bf16 | standard error | by seed |", "|---|---|---|---|---|"]
    for variant in (*KINDS, *DERIVED):
        seeds = sorted(seed for name, seed in losses if name == variant)
        gaps = [
            100 * (losses[variant, s] / losses[BASELINE, s] - 1) for s in seeds if (BASELINE, s) in losses
        ]
        if not gaps:
            continue
        mean = statistics.fmean(losses[variant, seed] for seed in seeds)
        error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
        by_seed = ", ".join(f"{gap:+.2f}" for gap in gaps)
        rows.append(f"| {variant} | {mean:.4f} | {statistics.fmean(gaps):+.2f} % | {error:.2f} | {by_seed} |")
    return "\n".join(rows)


def _missing(arguments: argparse.Namespace, kind: str, seed: int) -> bool:
    wanted = (kind, *DERIVED) if kind == BASELINE and arguments.derive else (kind,)
    losses = _losses(arguments.output)
    return any((name, seed) not in losses for name in wanted)


def _run_seeds(arguments: argparse.Namespace) -> None:
    import torch  # late: the parent starts processes and needs none of it
    from recipe import Recipe
    from variants import measure

    device = "cuda" if torch.cuda.is_available() else "cpu"
    vocab_size = json.loads((arguments.folder / "corpus.json").read_text())["vocab_size"]
    recipe = Recipe(
        hidden_size=arguments.hidden_size, num_layers=arguments.layers, seq_len=arguments.seq_len,
        batch=arguments.batch, steps=arguments.steps, compiled=arguments.compile,
    )  # fmt: skip
    derive = arguments.derive and arguments.kind == BASELINE
    longest = 0.0
    for seed in filter(lambda seed: _missing(arguments, arguments.kind, seed), arguments.seeds):
        begun = time.time()
        if arguments.stop_at and begun + longest > arguments.stop_at:
            sys.exit(f"{arguments.kind}: no time left for seed {seed}")
        for line in measure(recipe, arguments.kind, seed, arguments.folder, vocab_size, device, derive):
            line["device"] = torch.cuda.get_device_name() if device == "cuda" else "CPU"
            with arguments.output.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
        longest = max(longest, time.time() - begun)


def _losses(path: Path) -> dict[tuple[str, int], float]:
    """Validation loss by variant and seed; of one that was run again, the last."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(line["variant"], line["seed"]): line["validation_loss"] for line in lines}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, help="what corpus.py wrote")
    add("--output", type=Path, required=True, help="a line of JSON for each finished run")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="linear layers to train with")
    add("--derive", action="store_true", help="also quantise the bf16 run afterwards, and for its last 30 %%")
    add("--jobs", type=int, default=len(KINDS), help="processes side by side")
    add("--steps", type=int, default=1200)
    add("--batch", type=int, default=32)
    add("--seq-len", type=int, default=512)
    add("--hidden-size", type=int, default=512)
    add("--layers", type=int, default=6)
    add("--compile", action="store_true", help="compile the decoder layers")
    add("--stop-at", type=float, help="seconds since the epoch: start no run that would end later")
    add("--kind", choices=KINDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
