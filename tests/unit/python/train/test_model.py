"""The model that zeta.train builds, in a process of its own: DeepSpeed's settings are of a whole process."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import deepspeed, torch
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from zeta.train.model import build_model
from zeta.train.model_config import model_config
from zeta.train.params import ZetaParams
from zeta.train.ranks import join_ranks, leave_ranks
from zeta.train.weights import parameter_groups

ranks = join_ranks()
settings = {
    "train_micro_batch_size_per_gpu": 1,
    "bf16": {"enabled": True},
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
    "zero_optimization": {"stage": 3},
}
params = ZetaParams(use_flash_attn=False)
config = model_config("tiny", params, 64, 63)
model = build_model(config, params, "bf16", settings, 0, ranks)
engine, *_ = deepspeed.initialize(
    model=model, model_parameters=parameter_groups(model, 0.1), config=settings, dist_init_required=False
)
assert engine.module.lm_head.weight.dtype == torch.bfloat16
rotary = engine.module.model.rotary_emb
for name, expected in LlamaRotaryEmbedding(config).named_buffers():
    found = getattr(rotary, name)
    assert found.dtype == torch.float32 and torch.equal(found, expected), (name, found.dtype)
leave_ranks()
"""


def test_rotary_frequencies_stay_fp32_under_bf16() -> None:
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
