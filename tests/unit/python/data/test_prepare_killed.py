"""SIGKILL in the middle of a run; the next run ends with the bytes of a run that was not killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from zeta.data import DataError, TokenShards
from zeta.data.options import PrepareOptions
from zeta.data.prepare import prepare

NUM_SHARDS = 5
START_SECONDS = 300


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def options(tmp_path: Path, tokenizer_folder: Path, email_sources: Path) -> PrepareOptions:
    """Five shards of 1 MiB: real sources, each copy made different by its first line."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    source = "".join(path.read_text() for path in sorted(email_sources.glob("*.py")))[:262_000]
    for number in range(4 * NUM_SHARDS):
        (corpus / f"{number:02d}.py").write_text(f"# {number}\n{source}")
    return PrepareOptions([str(corpus)], str(tmp_path / "out"), str(tokenizer_folder), validation_fraction=0)


def start_and_kill(options: PrepareOptions, first_note: Path) -> None:
    command = [sys.executable, "-m", "zeta.data", "prepare", "--num-cpus", "1", "--validation-fraction", "0"]
    places = ["--input", *options.inputs, "--output", options.output, "--tokenizer", options.tokenizer]
    # Ray's own files, which a killed run leaves; its sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="zeta-", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "TMPDIR": folder}
        process = subprocess.Popen([*command, *places], stderr=subprocess.DEVNULL, env=environment)
        wait_and_kill(process, options, first_note)


def wait_and_kill(process: subprocess.Popen[bytes], options: PrepareOptions, first_note: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not first_note.exists():
        assert process.poll() is None and time.monotonic() < deadline, "no shard was finished"
        time.sleep(0.01)
    with pytest.raises(DataError, match="another run is writing to"):
        prepare(options)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_run_is_finished_by_the_next(ray: None, options: PrepareOptions) -> None:
    out = Path(options.output)
    start_and_kill(options, out / ".prepare" / "train-part-00000.parquet.json")
    with pytest.raises(DataError, match="did not finish"):
        TokenShards(out)
    first = out / "train" / "part-00000.parquet"
    written = first.stat().st_mtime_ns
    # As a worker killed in the middle of a write would leave it.
    (out / "train" / ".part-00003.parquet.1.tmp").write_bytes(b"half")

    finished = prepare(options)
    whole = prepare(replace(options, output=f"{options.output}-whole"))

    assert first.stat().st_mtime_ns == written
    assert 0 < finished.new_tokens < whole.new_tokens
    assert len(whole.manifest.shards) == NUM_SHARDS
    assert contents(out) == contents(Path(f"{options.output}-whole"))
