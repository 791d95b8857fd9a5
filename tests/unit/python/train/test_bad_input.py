"""Each mistake is one line that names the thing, and an exit code that is not 0."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rank_processes import start
from tiny_run import arguments
from token_shards import write_shards

ADAM = {"type": "AdamW"}
CONFIG = {
    "train_micro_batch_size_per_gpu": 2,
    "optimizer": ADAM,
    "zero_optimization": {"stage": 3},
}
LLAMA = {"model_type": "llama", "vocab_size": 16, "hidden_size": 32, "num_attention_heads": 2}


def _model(**change: object) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        path = folder / "config.json"
        path.write_text(json.dumps(LLAMA | change))
        return ["--model", str(path)]

    return write


def _config(**change: object) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        path = folder / "changed.json"
        path.write_text(json.dumps(CONFIG | change))
        return ["--config", str(path)]

    return write


def _a_file(folder: Path) -> list[str]:
    (folder / "file").write_text("not a folder")
    return ["--output", str(folder / "file")]


def _short_data(folder: Path) -> list[str]:
    return ["--data", str(write_shards(folder / "short", 40, 40))]


def _foreign_checkpoint(folder: Path) -> list[str]:
    (folder / "run" / "checkpoints" / "step-000005").mkdir(parents=True)
    return []


@pytest.mark.parametrize(
    ("flags", "params", "words"),
    [
        (["--data", "nowhere"], {}, ["nowhere", "manifest.json"]),
        (_short_data, {}, ["tokens", "seq_len 32", "ranks"]),
        (["--model", "huge"], {}, ["--model huge", "tiny", "small"]),
        (_model(model_type="bert"), {}, ["config.json", "bert", "llama"]),
        (_model(), {}, ["config.json", "vocab_size 16", "257"]),
        (_model(vocab_size=257, max_position_embeddings=8), {}, ["seq_len ≤ 8", "32"]),
        (_model(hiden_size=64), {}, ["config.json", "'hiden_size'", "did you mean hidden_size?"]),
        (_model(hidden_size="256"), {}, ["config.json", "hidden_size", "expected int", "'256'"]),
        (_config(optimizer=ADAM | {"params": {"betas": [0.9, 2]}}), {}, ["changed.json", "beta", "2"]),
        (
            _config(scheduler={"type": "WarmupLR", "params": {"warmup_num_steps": 0}}),
            {},
            ["changed.json", "0"],
        ),
        (_config(scheduler={"type": "WarmupLRR"}), {}, ["changed.json", "did you mean WarmupLR?"]),
        (_config(bf16={"enabled": "yes"}), {}, ["changed.json", "bf16.enabled", "'yes'"]),
        (_a_file, {}, ["--output", "file", "name a folder"]),
        ([], {"num_heads": 3, "hidden_size": 64}, ["num_heads", "divide", "3", "64"]),
        ([], {"num_kv_heads": 3}, ["num_kv_heads", "3"]),
        ([], {"num_heads": 1, "hidden_size": 512}, ["head size ≤ 256", "512"]),
        ([], {"bitlinear_precision": "4bit"}, ["bitlinear_precision=4bit", "hidden_size", "128", "32"]),
        ([], {"bitlinear_precision": "4bit", "group_size": 12}, ["group_size", "multiple of 8", "12"]),
        (_foreign_checkpoint, {}, ["--output", "step-000005", "--resume"]),
        (lambda folder: [*_foreign_checkpoint(folder), "--resume"], {}, ["step-000005", "zeta.json"]),
    ],
)
def test_names_the_thing(
    tmp_path: Path,
    config: Path,
    shards: Path,
    flags: list[str] | Callable[[Path], list[str]],
    params: dict[str, object],
    words: list[str],
) -> None:
    more = flags(tmp_path) if callable(flags) else flags
    argv = arguments(config, shards, tmp_path / "run", *more, **params)
    job = start(argv, tmp_path, world_size=2 if flags is _short_data else 1)
    codes = job.wait()
    assert codes == [1] * len(codes), job.output()
    errors = [line for line in job.output().splitlines() if line.startswith("train: error:")]
    assert len(errors) == 1, job.output()
    for word in words:
        assert word in errors[0]
    assert "Traceback" not in job.output()


def test_a_port_in_use_is_named(tmp_path: Path, config: Path, shards: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        job = start(arguments(config, shards, tmp_path / "run"), tmp_path, world_size=1, port=port)
        assert job.wait() == [1], job.output()
    errors = [line for line in job.output().splitlines() if line.startswith("train: error:")]
    assert len(errors) == 1 and str(port) in errors[0] and "--master_port" in errors[0]


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ([], "--config"),
        (["--config", "x", "--steps", "0"], "int ≥ 1"),
        (["--config", "x", "--max-minutes", "-1"], "number > 0"),
        (["--config", "x", "--stpes", "5"], "--stpes"),
    ],
)
def test_a_wrong_flag_ends_with_2(argv: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    from zeta.train import main

    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert word in capsys.readouterr().err
