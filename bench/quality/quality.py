"""What quantisation-aware training costs in validation loss: paired runs of one small Llama on real text.

    tools/run python bench/quality/corpus.py FOLDER
    tools/run python bench/quality/quality.py FOLDER --output results.jsonl --compile

Every variant trains with the same seeds; a seed fixes the first weights and the order of the text for all of
them, so that differences are taken seed by seed. A variant's runs are one process, `--jobs` of them side by
side. Each finished run is a line of the output; started again, only what is missing is run.
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
VARIANTS = (BASELINE, "4bit", "1.58bit", "fp8", "plain b1.58")


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.variant:
        _run_seeds(arguments)
        return
    wanted = [v for v in VARIANTS if any((v, s) not in _done(arguments.output) for s in arguments.seeds)]
    running: list[subprocess.Popen] = []
    failed = 0
    while wanted or running:
        while wanted and len(running) < arguments.jobs:
            command = [sys.executable, *sys.argv, "--variant", wanted.pop(0)]
            running.append(subprocess.Popen(command))
        failed += running.pop(0).wait() != 0
    print(table(_lines(arguments.output)))
    sys.exit(1 if failed else 0)


def table(lines: list[dict]) -> str:
    """Mean and standard error over the seeds of the paired difference to `bf16`, in % of its loss."""
    loss = {(line["variant"], line["seed"]): line["validation_loss"] for line in lines}
    rows = [
        "| | validation loss | gap to bf16 | standard error | by seed | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for variant in VARIANTS:
        own = [line for line in lines if line["variant"] == variant]
        if not own:
            continue
        mean = statistics.fmean(line["validation_loss"] for line in own)
        seconds = statistics.fmean(line["seconds"] for line in own)
        gaps = [
            100 * (loss[variant, seed] / loss[BASELINE, seed] - 1)
            for seed in sorted(line["seed"] for line in own)
            if (BASELINE, seed) in loss
        ]
        error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
        gap = f"{statistics.fmean(gaps):+.2f} %" if gaps else ""
        by_seed = ", ".join(f"{gap:+.2f}" for gap in gaps)
        rows.append(f"| {variant} | {mean:.4f} | {gap} | {error:.2f} | {by_seed} | {seconds:.1f} |")
    return "\n".join(rows)


def _run_seeds(arguments: argparse.Namespace) -> None:
    import torch  # late: the parent starts processes and needs none of it
    from recipe import Recipe, train

    device = "cuda" if torch.cuda.is_available() else "cpu"
    vocab_size = json.loads((arguments.folder / "corpus.json").read_text())["vocab_size"]
    recipe = Recipe(
        hidden_size=arguments.hidden_size, num_layers=arguments.layers, seq_len=arguments.seq_len,
        batch=arguments.batch, steps=arguments.steps, compiled=arguments.compile,
    )  # fmt: skip
    longest = 0.0
    for seed in arguments.seeds:
        if (arguments.variant, seed) in _done(arguments.output):
            continue
        begun = time.time()
        if arguments.stop_at and begun + longest > arguments.stop_at:
            sys.exit(f"{arguments.variant}: no time left for seed {seed}")
        line = train(recipe, arguments.variant, seed, arguments.folder, vocab_size, device)
        line["device"] = torch.cuda.get_device_name() if device == "cuda" else "CPU"
        with arguments.output.open("a") as file:
            file.write(json.dumps(line) + "\n")
        longest = max(longest, time.time() - begun)
        print(json.dumps(line), flush=True)


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _done(path: Path) -> set[tuple[str, int]]:
    return {(line["variant"], line["seed"]) for line in _lines(path)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, help="what corpus.py wrote")
    add("--output", type=Path, required=True, help="a line of JSON for each finished run")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--jobs", type=int, default=len(VARIANTS), help="processes side by side")
    add("--steps", type=int, default=1000)
    add("--batch", type=int, default=32)
    add("--seq-len", type=int, default=512)
    add("--hidden-size", type=int, default=512)
    add("--layers", type=int, default=6)
    add("--compile", action="store_true", help="compile the decoder layers")
    add("--stop-at", type=float, help="seconds since the epoch: start no run that would end later")
    add("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
