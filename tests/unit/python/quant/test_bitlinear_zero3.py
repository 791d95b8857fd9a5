"""BitLinear built under deepspeed.zero.Init() and trained by a ZeRO-3 engine, in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import deepspeed, torch
from zeta.quant import BitLinear, replace_linear

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # one rank has nobody to share memory with
deepspeed.init_distributed("gloo")
torch.manual_seed(0)
config = {
    "train_batch_size": 16,
    "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
    "zero_allow_untested_optimizer": True,
    "bf16": {"enabled": sys.argv[2] == "bf16"},
}
with deepspeed.zero.Init(config_dict_or_path=config):
    first = BitLinear(64, 32, precision=sys.argv[1], group_size=32)
    model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.Linear(32, 8))
replace_linear(model, sys.argv[1], group_size=32, exclude=["3"])
partitioned = [p.ds_tensor.numel() > 0 and p.numel() == 0 for p in model.parameters()]
engine, *_ = deepspeed.initialize(model=model, config=config, optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2))

def weight(layer):
    with deepspeed.zero.GatheredParameters(layer.weight):
        return layer.weight.detach().float().clone()

dtype = torch.bfloat16 if sys.argv[2] == "bf16" else torch.float32
x, target = torch.randn(16, 64, dtype=dtype), torch.randn(16, 8, dtype=dtype)
before = [weight(model[0]), weight(model[2])]
losses = []
for _ in range(8):
    loss = torch.nn.functional.mse_loss(engine(x).float(), target.float())
    engine.backward(loss)
    engine.step()
    losses.append(loss.item())
moved = [(weight(layer) - old).abs().max().item() for layer, old in zip((model[0], model[2]), before)]
json.dump({"partitioned": partitioned, "losses": losses, "moved": moved}, open(sys.argv[3], "w"))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(("precision", "dtype"), [("1.58bit", "fp32"), ("4bit", "bf16")])
def test_zero3_trains_it(precision: str, dtype: str, tmp_path) -> None:
    result = tmp_path / "result.json"
    environment = os.environ | {
        "DS_ACCELERATOR": "cpu",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_SIZE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, precision, dtype, str(result)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    outcome = json.loads(result.read_text())
    assert all(outcome["partitioned"])
    assert outcome["losses"][-1] < outcome["losses"][0]
    assert min(outcome["moved"]) > 0
