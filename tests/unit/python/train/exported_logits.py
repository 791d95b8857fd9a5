"""How far the logits of an exported folder are from those of the forward that trained it.

    tools/run python tests/unit/python/train/exported_logits.py RUN DATA OUT

exports RUN to OUT and compares the two on DATA's validation split, on a GPU if there is one.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM, PreTrainedModel

import zeta.nn  # noqa: F401  Registers the attention of training.
from zeta.data import TokenShards
from zeta.export import export
from zeta.export.source import open_source
from zeta.quant import replace_linear


def training_model(run: Path) -> LlamaForCausalLM:
    """The model as training's forward had it: weights cast to its dtype, quantised in each forward."""
    source = open_source(run)
    config = AutoConfig.from_pretrained(source.folder)
    flash = json.loads((source.folder / "zeta.json").read_text())["use_flash_attn"]
    config._attn_implementation = "zeta" if flash else "sdpa"
    model = LlamaForCausalLM(config)
    weights = {name: source.seen(name) for name in source.weights.shapes}
    rotary = {name: buffer.clone() for name, buffer in model.model.rotary_emb.named_buffers()}
    model.to(source.dtype).load_state_dict(weights, strict=False)
    for name, buffer in rotary.items():  # training keeps them fp32
        setattr(model.model.rotary_emb, name, buffer)
    model.tie_weights()
    if source.precision != "none":
        replace_linear(model, source.precision, source.group_size)
    return model.eval()


@torch.no_grad()
def logits(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    return model(input_ids=tokens[:, :-1].to(model.device), use_cache=False).logits.float().cpu()


def cross_entropy(scores: Tensor, tokens: Tensor) -> float:
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), tokens[:, 1:].flatten()).item()


def compare(run: Path, data: Path, out: Path, examples: int, seq_len: int) -> dict[str, float]:
    """Both models' losses, the root mean square of the logits' difference relative to theirs, and theirs."""
    export(run, out)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    blocks = TokenShards(str(data)).blocks("validation", seq_len, 0, 1)
    tokens = torch.stack([torch.from_numpy(next(blocks)).long() for _ in range(min(examples, len(blocks)))])
    trained = logits(training_model(run).to(device), tokens)
    with torch.compiler.set_stance("force_eager"):  # transformers compiles its ternary layers
        exported = logits(AutoModelForCausalLM.from_pretrained(out).to(device), tokens)
    rms = trained.square().mean().sqrt().item()
    return {
        "examples": len(tokens),
        "loss of training's forward": cross_entropy(trained, tokens),
        "loss of the exported folder": cross_entropy(exported, tokens),
        "relative difference": (exported - trained).square().mean().sqrt().item() / rms,
        "root mean square": rms,
    }


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run, data, out = (Path(argument) for argument in sys.argv[1:])
    for name, value in compare(run, data, out, examples=8, seq_len=1024).items():
        print(f"{name:28} {value:.6g}")
