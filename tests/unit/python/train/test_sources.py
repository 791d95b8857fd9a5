"""The data of a run that names none."""

import sysconfig
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rank_processes import start
from tiny_run import arguments, records

from zeta.data import DataError
from zeta.data.standard_library import LEFT_OUT, standard_library
from zeta.train import sources


def test_the_standard_library_has_source_here() -> None:
    assert (standard_library() / "json" / "decoder.py").is_file()


def test_a_python_without_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(DataError, match=f"{tmp_path} holds no Python source"):
        standard_library()


def write_library(folder: Path) -> Path:
    """A standard library small enough to test with, with something of all that is left out."""
    kept = ["argparse.py", "json/decoder.py", "http/client.py"]
    dropped = [f"{name}/some.py" for name in LEFT_OUT] + ["json/tests/some.py", "LICENSE.txt"]
    for name in (*kept, *dropped):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"def {path.stem}_{i}(value):\n    return value + {i}\n" for i in range(300)))
    return folder


def use_library(folder: Path) -> None:
    sources.standard_library = lambda: folder


def test_without_data_a_run_trains_on_the_standard_library(tmp_path: Path, config: Path) -> None:
    library = write_library(tmp_path / "library")
    flags = arguments(config, tmp_path, tmp_path / "run", "--steps", "2")
    at = flags.index("--data")
    job = start(flags[:at] + flags[at + 2 :], tmp_path, world_size=1, prepare=partial(use_library, library))
    assert job.wait(120) == [0], job.output()
    assert len(records(tmp_path / "run")) == 2
    documents = {
        str(Path(name.removeprefix("file://")).relative_to(library))
        for part in (tmp_path / "data").glob("*/part-*.parquet")
        for name in pq.read_table(part)["document"].to_pylist()
    }
    assert documents == {"argparse.py", "json/decoder.py", "http/client.py"}


@pytest.mark.parametrize(("flags", "params"), [(["--model", "huge"], {}), ([], {"num_heads": 3})])
def test_no_data_is_made_for_a_model_that_cannot_be(
    tmp_path: Path, config: Path, flags: list[str], params: dict[str, object]
) -> None:
    argv = arguments(config, tmp_path, tmp_path / "run", *flags, **params)
    at = argv.index("--data")
    library = write_library(tmp_path / "library")
    job = start(argv[:at] + argv[at + 2 :], tmp_path, world_size=1, prepare=partial(use_library, library))
    assert job.wait() == [1], job.output()
    assert "train: error:" in job.output()
    assert not (tmp_path / "data").exists()
