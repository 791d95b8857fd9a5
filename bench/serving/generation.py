"""zeta-server against transformers on the same packed folder: time to first token and decoding rate.

    tools/run python bench/serving/generation.py MODEL [--tokens N] [--repeat R]

Both decode greedily and must give the same text, else the run fails. Figures are best and median of R runs.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from openai import OpenAI
from transformers import AutoModelForCausalLM, AutoTokenizer

from zeta.serve import Server

PROMPT = "def __init__(self, name):\n"


def zeta_first_token(model: Path) -> float:
    """Seconds from the start of the server's process to the first token of an answer."""
    began = time.perf_counter()
    with Server(model) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        client.completions.create(model=model.name, prompt=PROMPT, max_tokens=1, temperature=0)
        return time.perf_counter() - began


def zeta_decode(model: Path, tokens: int, repeat: int, threads: int) -> tuple[str, list[float]]:
    """The greedy completion and the tokens/s of each run; the time of a one-token answer is taken off."""
    rates, text = [], ""
    with Server(model, arguments=("--threads", str(threads))) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")

        def complete(count: int) -> tuple[str, float]:
            began = time.perf_counter()
            answer = client.completions.create(
                model=model.name,
                prompt=PROMPT,
                max_tokens=count,
                temperature=0,
                extra_body={"ignore_eos": True},
            )
            return answer.choices[0].text, time.perf_counter() - began

        for _ in range(repeat + 1):
            _, first = complete(1)
            text, all_tokens = complete(tokens)
            rates.append((tokens - 1) / (all_tokens - first))
    return text, rates[1:]


def transformers_decode(model: Path, tokens: int, repeat: int, threads: int) -> tuple[str, list[float]]:
    """The same through `generate`."""
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model).eval()
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    rates, out = [], ids
    with torch.no_grad():
        for _ in range(repeat + 1):
            began = time.perf_counter()
            network.generate(ids, max_new_tokens=1, **settings)
            first = time.perf_counter()
            out = network.generate(ids, max_new_tokens=tokens, **settings)
            rates.append((tokens - 1) / (time.perf_counter() - first - (first - began)))
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True), rates[1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = arguments.model.resolve()

    started = sorted(zeta_first_token(model) for _ in range(arguments.repeat))
    ours, our_rates = zeta_decode(model, arguments.tokens, arguments.repeat, arguments.threads)
    theirs, their_rates = transformers_decode(model, arguments.tokens, arguments.repeat, arguments.threads)

    print(f"process start to first token: best {started[0]:.2f} s, median {statistics.median(started):.2f} s")
    for name, rates in (("zeta-server", our_rates), ("transformers", their_rates)):
        print(f"decode {name:12s}: best {max(rates):.0f}, median {statistics.median(rates):.0f} tokens/s")
    print(f"ratio of medians: {statistics.median(our_rates) / statistics.median(their_rates):.1f}")
    if ours != theirs:
        sys.exit(f"the answers differ:\n{ours!r}\n{theirs!r}")


if __name__ == "__main__":
    main()
