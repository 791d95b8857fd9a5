"""BitLinear built under deepspeed.zero.Init() and trained by a ZeRO-3 engine, in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

CASES = [("1.58bit", "fp32"), ("4bit", "bf16"), ("fp8", "bf16")]

SCRIPT = """
import json, sys
import deepspeed, torch
from zeta.quant import BitLinear, replace_linear

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # one rank has nobody to share memory with
deepspeed.init_distributed("gloo")

def weight(layer):
    with deepspeed.zero.GatheredParameters(layer.weight):
        return layer.weight.detach().float().clone()

def train(precision, dtype):
    torch.manual_seed(0)
    config = {
        "train_batch_size": 16,
        "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": dtype == "bf16"},
    }
    with deepspeed.zero.Init(config_dict_or_path=config):
        first = BitLinear(64, 32, precision=precision, group_size=32)
        model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.Linear(32, 8))
    replace_linear(model, precision, group_size=32, exclude=["3"])
    partitioned = [p.ds_tensor.numel() > 0 and p.numel() == 0 for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    engine, *_ = deepspeed.initialize(model=model, config=config, optimizer=optimizer)
    type = torch.bfloat16 if dtype == "bf16" else torch.float32
    x, target = torch.randn(16, 64, dtype=type), torch.randn(16, 8)
    before = [weight(model[0]), weight(model[2])]
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.mse_loss(engine(x).float(), target)
        engine.backward(loss)
        engine.step()
        losses.append(loss.item())
    moved = [(weight(layer) - old).abs().max().item() for layer, old in zip((model[0], model[2]), before)]
    return {"partitioned": partitioned, "losses": losses, "moved": moved}

json.dump([train(*case) for case in json.loads(sys.argv[1])], open(sys.argv[2], "w"))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_zero3_trains_it(tmp_path: Path) -> None:
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
    command = [sys.executable, "-c", SCRIPT, json.dumps(CASES), str(result)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for case, outcome in zip(CASES, json.loads(result.read_text()), strict=True):
        assert all(outcome["partitioned"]), case
        assert outcome["losses"][-1] < outcome["losses"][0], case
        assert min(outcome["moved"]) > 0, case
