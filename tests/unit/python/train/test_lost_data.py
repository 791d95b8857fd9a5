"""Token shards that vanish or are cut short while a run reads them."""

import os
import shutil
from pathlib import Path

import pytest
from rank_processes import start
from tiny_run import arguments, records, wait_for_step
from token_shards import write_shards


def damage(shard: Path, how: str) -> None:
    """Leaves nothing to read the shard from again: neither its file nor the cache."""
    if how == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    shutil.rmtree(Path(os.environ["ZETA_CACHE_DIR"], "tokens"))


@pytest.mark.parametrize(
    ("how", "split", "flags"), [("missing", "train", ()), ("truncated", "validation", ("--eval-every", "7"))]
)
def test_a_shard_lost_in_training_is_named_and_the_run_goes_on_when_it_is_back(
    tmp_path: Path, config: Path, how: str, split: str, flags: tuple[str, ...]
) -> None:
    data, output = write_shards(tmp_path / "data", 3072), tmp_path / "run"
    shard = data / split / "part-00000.parquet"
    whole = shard.read_bytes()
    job = start(arguments(config, data, output, "--steps", "100000", *flags), tmp_path)
    wait_for_step(job, output, 6)
    damage(shard, how)
    assert job.wait() == [1, 1], job.output()
    errors = [line for line in job.output().splitlines() if "error" in line]
    assert len(errors) == 1 and errors[0].startswith("train: error: "), job.output()
    saved = (output / "checkpoints" / "latest").read_text().strip()
    cause = "No such file" if how == "missing" else "truncated"
    cure = "delete it and prepare the data again"
    for word in (str(shard), cause, cure, f"the last good checkpoint is {output}/checkpoints/{saved}"):
        assert word in errors[0]
    assert "Traceback" not in job.output()

    shard.write_bytes(whole)
    step = int(saved.removeprefix("step-")) + 2
    again = start(arguments(config, data, output, "--steps", str(step), "--resume"), tmp_path)
    assert again.wait() == [0, 0], again.output()
    assert [record["step"] for record in records(output)] == list(range(1, step + 1))
