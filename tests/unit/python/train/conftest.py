"""Folders that several tests of zeta.train need."""

import json
from pathlib import Path

import pytest
from rank_processes import start
from tiny_run import arguments
from token_shards import write_shards

CONFIG = {
    "train_micro_batch_size_per_gpu": 2,
    "gradient_clipping": 1.0,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-2, "weight_decay": 0.1}},
    "zero_optimization": {
        "stage": 3,
        "reduce_bucket_size": 100000,
        "stage3_param_persistence_threshold": 1000,
    },
}


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards") / "data")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZETA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(CONFIG))
    return path


@pytest.fixture(scope="session")
def one_step(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """The folder of a run of one rank that has made and saved one step."""
    folder = tmp_path_factory.mktemp("one_step")
    (folder / "ds.json").write_text(json.dumps(CONFIG))
    job = start(arguments(folder / "ds.json", shards, folder / "run", "--steps", "1"), folder, world_size=1)
    assert job.wait() == [0], job.output()
    return folder / "run"
