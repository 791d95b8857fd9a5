"""Checkpoints that several tests of zeta.export need."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import CASES, tiny_config, tiny_model, write_tokenizer, write_zeta
from zero3_files import write_zero3


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `two_ranks.py` for `CASES`."""
    folder = tmp_path_factory.mktemp("trained")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    place["DS_ACCELERATOR"] = "cpu"  # two ranks, and a GPU machine may have one GPU
    command = [sys.executable, str(Path(__file__).with_name("two_ranks.py")), str(folder), *CASES]
    ranks = []
    for rank in ("0", "1"):
        with open(folder / f"rank{rank}.log", "w") as log:
            environment = os.environ | place | {"RANK": rank, "LOCAL_RANK": rank}
            ranks.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(timeout=900) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert codes == [0, 0], (folder / "rank0.log").read_text()[-3000:]
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """An untrained `4bit` checkpoint of three ranks, for tests that break or refuse it."""
    folder = tmp_path / "run" / "checkpoints" / "step-000007"
    folder.mkdir(parents=True)
    (folder.parent / "latest").write_text("step-000007\n")
    config = tiny_config(num_hidden_layers=1)
    parameters = dict(tiny_model(config).named_parameters())
    write_zero3(folder, [{k: v.detach() for k, v in parameters.items()}], ranks=3)
    config.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer")
    write_zeta(folder, "4bit")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
