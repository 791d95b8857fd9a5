"""The cache keeps to its limit, with other processes in it and with some that were killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from token_shards import write_shards

from zeta.data import DataError, TokenShards
from zeta.data.cache_folder import cache_limit, exclusive, reserve

TOKENS = 4000  # of each set of shards: 3000 to train on
SET = 4 * TOKENS


@pytest.fixture
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four sets of shards; they differ by a few tokens, and so have folders of their own."""
    folder = tmp_path_factory.mktemp("sets")
    return [write_shards(folder / str(i), 3000 + i, 1000 - i) for i in range(4)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZETA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ZETA_CACHE_SIZE", str(2 * SET))
    return tmp_path / "cache"


def fill(folder: Path) -> list[numpy.ndarray]:
    shards = TokenShards(folder)
    return [shards.tokens(split) for split in ("train", "validation")]


def held(cache: Path) -> dict[int, int]:
    """Bytes of the cached sets, by how many training tokens they have more than the first."""
    trains = {file.stat().st_size // 4 - 3000: file.parent for file in cache.rglob("train.int32")}
    return {
        number: sum(file.stat().st_size for file in folder.glob("*.int32*"))
        for number, folder in trains.items()
    }


def wait_a_tick() -> None:
    """File times stand still for some milliseconds."""
    time.sleep(0.02)


def test_the_longest_unused_set_goes(sets: list[Path], cache: Path) -> None:
    for number in (0, 1, 0, 2):
        fill(sets[number])
        wait_a_tick()
    assert held(cache) == {0: SET, 2: SET}
    assert len(list((cache / "tokens").glob("*/"))) == 2


def test_what_is_mapped_stays_and_what_was_is_free_to_go(sets: list[Path], cache: Path) -> None:
    mapped = fill(sets[0])
    parts = [array[1:] for array in mapped]
    before = [array.copy() for array in parts]
    del mapped  # A part keeps the whole mapped.
    for number in (1, 2, 3):
        wait_a_tick()
        fill(sets[number])
    assert held(cache) == {0: SET, 3: SET}
    assert all(numpy.array_equal(a, b) for a, b in zip(parts, before, strict=True))
    parts.clear()
    fill(sets[1])
    assert 0 not in held(cache)


HOLD = """
import sys
from zeta.data import TokenShards
tokens = TokenShards(sys.argv[1]).tokens("train")
print("mapped", flush=True)
sys.stdin.read()
"""


def test_a_set_that_another_process_maps_stays_until_it_is_killed(sets: list[Path], cache: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(sets[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"mapped\n"
        for number in (1, 2):
            wait_a_tick()
            fill(sets[number])
        assert set(held(cache)) == {0, 2}
        process.kill()
    wait_a_tick()
    fill(sets[3])
    assert set(held(cache)) == {2, 3}


def test_a_set_above_the_limit_is_cached_alone(
    sets: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sets[0])
    monkeypatch.setenv("ZETA_CACHE_SIZE", "1kB")
    assert len(fill(sets[1])[0]) == 3001
    assert set(held(cache)) == {1}


def test_what_a_killed_process_left_counts_and_goes(sets: list[Path], cache: Path) -> None:
    left = cache / "tokens" / "0123456789abcdef"
    with exclusive(left):
        reserve(left / "train.int32.tmp", 2 * SET)  # as one killed while it filled leaves it
    aside = left.with_name(f"{left.name}.77.removed")  # as one killed while it removed
    aside.mkdir()
    (aside / "train.int32").write_bytes(bytes(2 * SET))
    wait_a_tick()
    fill(sets[0])
    assert sorted(path.name for path in (cache / "tokens").iterdir() if path.is_dir()) == [
        TokenShards(sets[0])._cache.name
    ]


@pytest.mark.parametrize("value", ["many", "0", "-1GB"])
def test_a_limit_that_is_no_size_is_named(
    sets: list[Path], cache: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZETA_CACHE_SIZE", value)
    with pytest.raises(DataError, match=f"ZETA_CACHE_SIZE: expected a size such as .*'{value}'"):
        fill(sets[0])


def test_the_limit_without_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZETA_CACHE_SIZE", raising=False)
    assert cache_limit() == 32 * 2**30


def use_at_random(sets: list[Path], seed: int) -> None:
    choice = random.Random(seed)
    while True:
        number = choice.randrange(len(sets))
        train, validation = fill(sets[number])
        assert len(train) == 3000 + number and len(validation) == 1000 - number
        assert train.min() >= 0 and train.max() < 257 and train[0] != train[1]


def test_many_processes_that_are_killed_at_any_moment(sets: list[Path], cache: Path) -> None:
    """Every reader finds whole sets throughout, and the last one leaves the cache within its limit."""
    context = multiprocessing.get_context("fork")
    for round_ in range(6):
        processes = [context.Process(target=use_at_random, args=(sets, 10 * round_ + i)) for i in range(3)]
        for process in processes:
            process.start()
        time.sleep(0.3)
        for process in processes:
            assert process.is_alive()  # none met an error
            os.kill(process.pid, signal.SIGKILL)
            process.join()
    shutil.rmtree(TokenShards(sets[0])._cache, ignore_errors=True)
    assert len(fill(sets[0])[0]) == 3000
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) <= 2 * SET
