"""Generation speed of the engine beside transformers, on the same packed folders.

    cmake --build build/release --target generate_bench
    tools/run python bench/generate/compare.py [--threads 2] [--prompt 64] [--new 128] [--repeats 3]

Builds, in a scratch folder, Llama models of 6.8 M parameters (hidden 256, 6 layers, vocabulary 4096) packed
ternary and 4-bit by transformers' and compressed-tensors' packers, and prints for each the time to the first
token and the tokens decoded per second, best of `--repeats`, one sequence at a time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden"))

import make_llama  # noqa: E402  also switches the compiler of transformers' bitnet integration off
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402
from transformers.utils import logging  # noqa: E402

SIZE = {
    "vocab_size": 4096,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
}
PACKERS = {
    "ternary": make_llama.ternary("autobitlinear"),
    "int4": make_llama.int4,
    "dense": make_llama.keep_dense,
}


def build(folder: Path) -> None:
    folder.mkdir()
    tokenizer = make_llama.make_tokenizer(folder)
    make_llama.FOLDERS[folder.name] = (PACKERS[folder.name], SIZE)
    make_llama.GROUP_SIZE = 64  # divides 704 and 256
    make_llama.write_folder(folder, tokenizer, make_llama.SEED)


def run_engine(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    program = ROOT / "build" / "release" / "bin" / "generate_bench"
    words = [program, folder, args.threads, args.sequences, args.prompt, args.new, args.repeats]
    return json.loads(
        subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True).stdout
    )


@torch.inference_mode()
def run_transformers(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = torch.arange(args.prompt).mul(7919).remainder(SIZE["vocab_size"]).repeat(args.sequences, 1)

    def seconds(new_tokens: int) -> float:
        start = time.perf_counter()
        model.generate(prompt, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
        return time.perf_counter() - start

    seconds(2)
    first = min(seconds(1) for _ in range(args.repeats))
    whole = min(seconds(args.new) for _ in range(args.repeats))
    tokens = args.sequences * (args.new - 1)
    return {"first_token_ms": first * 1e3, "decode_tokens_per_s": tokens / (whole - first)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in {"threads": 2, "sequences": 1, "prompt": 64, "new": 128, "repeats": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        for name in PACKERS:
            folder = Path(scratch) / name
            build(folder)
            for label, result in (
                ("zeta", run_engine(folder, args)),
                ("transformers", run_transformers(folder, args)),
            ):
                figures = ", ".join(f"{key} {value:.1f}" for key, value in result.items())
                print(f"{name:8} {label:13} {figures}", flush=True)


if __name__ == "__main__":
    main()
