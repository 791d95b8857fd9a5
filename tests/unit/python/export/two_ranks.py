"""Trains tiny models, the last steps under DeepSpeed ZeRO-3 on two ranks, and notes what their forward says.

Run as one of two ranks: `two_ranks.py FOLDER CASE…`, a case being PRECISION,DTYPE. For each, leaves a
checkpoint `FOLDER/CASE/step-000002`, and `FOLDER/CASE/forward.pt`: logits of the training forward for the
probe, and the tokens it chooses greedily after the prompt.
"""

import contextlib
import sys
from pathlib import Path

import deepspeed
import torch
from tiny_model import tiny_config, tiny_model, write_tokenizer, write_zeta
from tiny_text import PROBE, PROMPT, batch
from torch import Tensor
from transformers import LlamaForCausalLM

from zeta.quant import replace_linear

NEW_TOKENS = 64
GROUP_SIZE = 128


def learn(precision: str) -> dict[str, Tensor]:
    """Weights that know the text: fp32, trained on this rank alone with the quantisation in the loop."""
    model = tiny_model(tiny_config()).train()
    if precision != "none":
        replace_linear(model, precision, GROUP_SIZE)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=120, pct_start=0.1)
    for _ in range(120):
        tokens = batch(generator, rows=4, length=64)
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.state_dict()


def build(weights: dict[str, Tensor], precision: str, settings: dict[str, object]) -> LlamaForCausalLM:
    """The model under `zero.Init`, each rank with its part of `weights`; the last norm is frozen."""
    with deepspeed.zero.Init(config_dict_or_path=settings):
        model = LlamaForCausalLM(tiny_config())
    if precision != "none":
        replace_linear(model, precision, GROUP_SIZE)
    # zero.Init casts this buffer too; readers of the exported model compute it in fp32.
    model.model.rotary_emb.inv_freq = tiny_model(tiny_config()).model.rotary_emb.inv_freq
    for name, parameter in model.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            if torch.distributed.get_rank() == 0:
                parameter.data.copy_(weights[name])
    model.model.norm.weight.requires_grad_(False)
    return model


@torch.no_grad()
def note_forward(engine: deepspeed.DeepSpeedEngine, path: Path) -> None:
    engine.eval()
    logits = engine(input_ids=PROBE).logits
    tokens = PROMPT
    for _ in range(NEW_TOKENS):
        following = engine(input_ids=tokens, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, following], dim=1)
    if torch.distributed.get_rank() == 0:
        torch.save({"logits": logits.float(), "tokens": tokens}, path)


def run_case(folder: Path, weights: dict[str, Tensor], precision: str, dtype: str) -> None:
    settings = {
        "train_micro_batch_size_per_gpu": 2,
        "bf16": {"enabled": dtype == "bf16"},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "torch_adam": True}},
        # Several flat buffers, and no parameter whole on every rank.
        "zero_optimization": {"stage": 3, "sub_group_size": 50000, "stage3_param_persistence_threshold": 0},
    }
    model = build(weights, precision, settings)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    engine, *_ = deepspeed.initialize(model=model, model_parameters=trainable, config=settings)
    generator = torch.Generator().manual_seed(torch.distributed.get_rank())
    for _ in range(2):
        tokens = batch(generator, rows=2, length=64)
        engine.backward(engine(input_ids=tokens, labels=tokens).loss)
        engine.step()
    engine.save_checkpoint(str(folder), tag="step-000002", save_latest=False)
    if torch.distributed.get_rank() == 0:
        checkpoint = folder / "step-000002"
        tiny_config().save_pretrained(checkpoint)
        write_tokenizer(checkpoint / "tokenizer")
        write_zeta(checkpoint, precision, GROUP_SIZE, dtype)
    note_forward(engine, folder / "forward.pt")
    engine.destroy()


def main(folder: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    deepspeed.ops.__compatible_ops__ = {}  # gloo instead of collectives that DeepSpeed would compile
    deepspeed.init_distributed("gloo", auto_mpi_discovery=False, verbose=False)
    learned: dict[str, dict[str, Tensor]] = {}
    for case in cases:
        precision, dtype = case.split(",")
        if precision not in learned:
            learned[precision] = learn(precision) if torch.distributed.get_rank() == 0 else {}
        with contextlib.suppress(FileExistsError):
            (folder / case).mkdir()
        run_case(folder / case, learned[precision], precision, dtype)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
