"""The founding document's snippets, as they stand there, in whatever environment runs this file."""

import os
import socket
import subprocess
import sys
from pathlib import Path

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    free_port = str(probe.getsockname()[1])
os.environ.setdefault("DS_ACCELERATOR", "cpu")
for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port}.items():  # fmt: skip
    os.environ.setdefault(name, value)

import deepspeed
import torch
from zeta.nn import FlashAttention

import zeta

attention = FlashAttention(embed_dim=512, num_heads=8, causal=True)
hidden = torch.randn(2, 33, 512)
out = attention(hidden)
assert out.shape == hidden.shape and torch.isfinite(out).all()

from zeta.quant import BitLinear

deepspeed.ops.__compatible_ops__ = {}  # gloo, in place of collectives that DeepSpeed would compile first
deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)
with deepspeed.zero.Init():
    layer = BitLinear(512, 256)
assert layer.weight.ds_shape == (256, 512), "the parameter is not partitioned"

version = tuple(int(part) for part in zeta.__version__.split(".")[:3])
assert version >= (0, 8, 2), zeta.__version__

program = Path(zeta.__file__).parent / "bin" / "zeta-server"
if program.exists():  # an installed wheel; a checkout keeps its programs in build/
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert zeta.__version__ in shown, shown

print(f"zeta {zeta.__version__}: founding snippets run ({sys.executable})")
