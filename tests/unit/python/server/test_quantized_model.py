"""A model quantised after its training, served: the tokens are those that it gives in Python."""

from __future__ import annotations

from pathlib import Path

import httpx
import torch
from server_process import StartServer
from tiny_model import tiny_config, tiny_model, write_tokenizer
from transformers import AutoTokenizer

from zeta.export import export_quantized
from zeta.quant import quantize

PROMPT = "def main(argv):"
NUM_TOKENS = 12


def test_gptq_model(start_server: StartServer, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    model = tiny_model(
        tiny_config(initializer_range=0.3)
    )  # wide enough that no two tokens are nearly as likely
    ids = torch.tensor([tokenizer.encode(PROMPT)])
    quantize(model, "4bit", "gptq", [ids], group_size=32, progress=False)
    export_quantized(model, tokenizer, tmp_path / "model")
    greedy = dict(max_new_tokens=NUM_TOKENS, min_new_tokens=NUM_TOKENS, do_sample=False, pad_token_id=0)
    expected = tokenizer.decode(model.generate(ids, **greedy)[0, ids.shape[1] :])
    assert len(set(expected)) > 1

    server = start_server("--model", tmp_path / "model")
    server.wait_ready()
    (name,) = (model["id"] for model in httpx.get(server.url + "/v1/models").json()["data"])
    request = {
        "model": name,
        "prompt": PROMPT,
        "max_tokens": NUM_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
    }
    answer = httpx.post(server.url + "/v1/completions", json=request, timeout=30).json()
    assert answer["choices"][0]["text"] == expected, answer
