"""Going on from a checkpoint that is damaged, foreign or malicious."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rank_processes import start
from tiny_run import arguments, records


def refusal(output: str) -> str:
    """The one line that says why a run was refused."""
    (error,) = [line for line in output.splitlines() if line.startswith("train: error:")]
    assert "Traceback" not in output
    return error


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("zeta.json", b"null", ["zeta.json is foreign", "None"]),
        ("*model_states.pt", None, ["step-000001", "missing"]),
        ("*model_states.pt", b"\x80\x04junk", ["model_states.pt is not readable"]),
        ("*optim_states.pt", b"", ["optim_states.pt is not readable", "empty"]),
    ],
)
def test_a_damaged_file_is_named(
    one_step: Path,
    tmp_path: Path,
    config: Path,
    shards: Path,
    name: str,
    content: bytes | None,
    words: list[str],
) -> None:
    output = tmp_path / "run"
    shutil.copytree(one_step, output)
    (damaged,) = (output / "checkpoints" / "step-000001").glob(name)
    if content is None:
        damaged.unlink()
    else:
        damaged.write_bytes(content)
    again = arguments(config, shards, output, "--steps", "2", "--resume")
    job = start(again, tmp_path, world_size=1)
    assert job.wait() == [1], job.output()
    for word in ["cannot resume", *words]:
        assert word in refusal(job.output())
    assert [path.name for path in (output / "checkpoints").glob("step-*")] == ["step-000001"]


@pytest.mark.parametrize("content", [b"\xff", b"../.."])
def test_a_latest_that_names_no_checkpoint_means_the_newest(
    one_step: Path, tmp_path: Path, config: Path, shards: Path, content: bytes
) -> None:
    output = tmp_path / "run"
    shutil.copytree(one_step, output)
    (output / "checkpoints" / "latest").write_bytes(content)
    job = start(arguments(config, shards, output, "--steps", "2", "--resume"), tmp_path, world_size=1)
    assert job.wait() == [0], job.output()
    assert [record["step"] for record in records(output)] == [1, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_truncated_checkpoint_is_named(tmp_path: Path, config: Path, shards: Path, rank: int) -> None:
    output = tmp_path / "run"
    assert start(arguments(config, shards, output, "--steps", "2"), tmp_path).wait() == [0, 0]
    folder = output / "checkpoints" / "step-000002"
    (damaged,) = folder.glob(f"*rank_{rank}_*optim_states.pt")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    job = start(arguments(config, shards, output, "--steps", "4", "--resume"), tmp_path)
    assert job.wait() == [1, 1], job.output()
    errors = [line for line in job.output().splitlines() if line.startswith("train: error:")]
    assert len(errors) == 1 and str(folder) in errors[0], job.output()
    assert "Traceback" not in job.output()


class Payload:
    """Unpickled by a reader that trusts its file, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._folder),)


@pytest.mark.parametrize("file", ["*model_states.pt", "*optim_states.pt"])
def test_a_checkpoint_that_names_code_is_refused_and_runs_nothing(
    tmp_path: Path, config: Path, shards: Path, file: str
) -> None:
    output, proof = tmp_path / "run", tmp_path / "proof"
    assert start(arguments(config, shards, output, "--steps", "1"), tmp_path, world_size=1).wait() == [0]
    (planted,) = (output / "checkpoints" / "step-000001").glob(file)
    content = torch.load(planted, weights_only=False)
    torch.save(content | {"planted": Payload(proof)}, planted)
    job = start(arguments(config, shards, output, "--steps", "2", "--resume"), tmp_path, world_size=1)
    assert job.wait() == [1], job.output()
    errors = [line for line in job.output().splitlines() if line.startswith("train: error:")]
    assert errors == [
        f"train: error: cannot resume, {planted} names code that no checkpoint needs; refused"
    ], job.output()
    assert not proof.exists() and "Traceback" not in job.output()


def test_a_universal_checkpoint_fits_other_ranks_and_runs_no_code_either(
    tmp_path: Path, config: Path, shards: Path
) -> None:
    output, proof = tmp_path / "run", tmp_path / "proof"
    assert start(arguments(config, shards, output, "--steps", "1"), tmp_path).wait() == [0, 0]
    first, universal = (output / "checkpoints" / name for name in ("step-000001", "step-000002"))
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal"]
    command += ["--input_folder", str(first), "--output_folder", str(universal)]
    subprocess.run(
        [*command, "--num_extract_workers", "1", "--num_merge_workers", "1"], check=True, capture_output=True
    )
    for name in ("zeta.json", "config.json"):
        shutil.copy(first / name, universal)
    (output / "checkpoints" / "latest").write_text(universal.name)
    settings = json.loads(config.read_text()) | {"checkpoint": {"load_universal": True}}
    config.write_text(json.dumps(settings))
    again = arguments(config, shards, output, "--steps", "3", "--save-every", "0", "--resume")

    planted = universal / "zero" / "model.norm.weight" / "fp32.pt"
    whole = planted.read_bytes()
    torch.save([torch.load(planted), Payload(proof)], planted)
    job = start(again, tmp_path, world_size=1)
    assert job.wait() == [1], job.output()
    assert f"cannot resume, {universal} names code" in job.output()
    assert not proof.exists() and "Traceback" not in job.output()

    planted.write_bytes(whole)
    job = start(again, tmp_path, world_size=1)
    assert job.wait() == [0], job.output()
    assert [record["step"] for record in records(output)] == [1, 2, 3]
