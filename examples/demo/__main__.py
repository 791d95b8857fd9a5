"""From real text to a served model: prepare, train, compare, export, serve, ask.

The text is this Python's standard library. Everything lands in ./demo; a second run reuses what is finished.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bigram import bigram_perplexity
from completion import complete, greedy
from corpus import HELD_OUT, training_arguments
from curve import draw, read_metric, sparkline
from held_out import scored_blocks
from zeta.data import DataError

EXAMPLES = Path(__file__).resolve().parent.parent
PROMPT = 'def read_lines(path, encoding="utf-8"):\n    """Return the lines of a text file."""\n    with open('
ZETA_PARAMS = "use_flash_attn=true, bitlinear_precision=4bit"
RESULTS = ("data", "run", "loss.png", "perplexity.json", "zeta-demo", "server.log")


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(command: list[str], **environment: str) -> None:
    """Run one step, showing the command that repeats it; a failure ends the demo with its exit code."""
    print("$", shlex.join(command), flush=True)
    done = subprocess.run(command, env={**os.environ, **environment})
    if done.returncode != 0:
        sys.exit(
            f"demo: {command[0]} failed with exit code {done.returncode}; what it said stands above; "
            "the same command goes on from there, --fresh begins anew"
        )


def remove_results(place: Path) -> None:
    """Remove what the demo made in `place`, and nothing else."""
    for path in (place / name for name in RESULTS):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def prepare(place: Path) -> Path:
    heading("1/5  Text to tokens")
    print(f"Python's standard library, held out: {', '.join(HELD_OUT)}")
    data = place / "data"
    try:
        text = training_arguments()
    except DataError as error:
        sys.exit(f"demo: {error}")
    run([sys.executable, "-m", "zeta.data", "prepare", *text,
         "--output", str(data), "--tokenizer", "train", "--vocab-size", "4096"])  # fmt: skip
    return data


def train(place: Path, data: Path, minutes: float) -> Path:
    heading("2/5  Training: BitLinear 4-bit, FlashAttention, DeepSpeed ZeRO-3")
    import torch

    ranks = {} if torch.cuda.is_available() else {"LOCAL_SIZE": "2", "OMP_NUM_THREADS": "1"}
    output = place / "run"
    if (output / "finished").exists():
        print(f"{output} is finished; remove it to train anew")
        return output
    command = ["deepspeed", str(EXAMPLES / "train.py"), "--config", str(EXAMPLES / "ds_config.json"),
               "--zeta_params", ZETA_PARAMS, "--data", str(data), "--output", str(output),
               "--max-minutes", str(minutes), "--eval-tokens", "0", "--eval-every", "300",
               "--resume"]  # fmt: skip
    run(command, **ranks)
    final_loss(output)  # a run that was stopped has none
    (output / "finished").touch()
    return output


def final_loss(output: Path) -> float:
    """The validation loss with which a run ends that was not cut short; without one the demo ends."""
    metrics = output / "metrics.jsonl"
    steps, _ = read_metric(metrics, "loss")
    measured, losses = read_metric(metrics, "validation_loss")
    if not measured or measured[-1] != steps[-1]:
        sys.exit(
            f"demo: {metrics} does not end with a validation loss: training was cut short; "
            "the same command goes on with it, --fresh begins anew"
        )
    return losses[-1]


def compare(place: Path, data: Path, output: Path) -> None:
    heading("3/5  Against a bigram model, on packages neither has seen")
    from zeta.data import TokenShards

    shards = TokenShards(str(data))
    bigram = bigram_perplexity(shards.tokens("train"), scored_blocks(shards, output), shards.vocab_size)
    perplexity = float(np.exp(final_loss(output)))
    _, losses = read_metric(output / "metrics.jsonl", "loss")
    picture = place / "loss.png"
    draw(output / "metrics.jsonl", picture)
    print(f"loss {losses[0]:.2f} {sparkline(losses)} {losses[-1]:.2f}   ({picture})")
    print(f"validation perplexity: Zeta {perplexity:.1f}, bigram (Kneser-Ney) {bigram:.1f}")
    (place / "perplexity.json").write_text(json.dumps({"zeta": perplexity, "bigram": bigram}))
    if perplexity >= bigram:
        sys.exit("demo: the model does not beat the bigram model; was the training cut short?")


def export(place: Path, output: Path) -> Path:
    heading("4/5  Export, packed")
    model = place / "zeta-demo"
    run([sys.executable, "-m", "zeta.export", str(output), str(model), "--overwrite"])
    return model


def serve(place: Path, model: Path) -> None:
    heading("5/5  Serve and ask")
    from zeta.serve import Server

    body = greedy(model.name, PROMPT, max_tokens=96)
    with Server(model, port=8000, log=place / "server.log") as server:
        print(PROMPT, end="", flush=True)
        answer = complete(server.url, body)
    print(
        f"\n\n{answer.tokens} tokens in {1000 * answer.seconds:.0f} ms, the first after "
        f"{1000 * answer.seconds_to_first:.0f} ms: {answer.tokens_per_second:.0f} tokens/s"
    )
    heading("Again, by hand")
    print("tools/run", shlex.join(server.command))
    print(
        f"curl -s {server.url}/v1/completions -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument(
        "--place", type=Path, default=Path("demo"), help="folder for all results (default: demo)"
    )
    parser.add_argument("--minutes", type=float, default=10, help="time to train (default: 10)")
    parser.add_argument(
        "--fresh", action="store_true", help=f"begin anew, removing {', '.join(RESULTS)} of --place"
    )
    arguments = parser.parse_args()
    place = arguments.place.resolve()
    if arguments.fresh:
        remove_results(place)
    place.mkdir(parents=True, exist_ok=True)

    began = time.monotonic()
    data = prepare(place)
    output = train(place, data, arguments.minutes)
    compare(place, data, output)
    serve(place, export(place, output))
    print(f"\nThe whole demo took {(time.monotonic() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
