"""The one meaning of a size on every command line."""

import argparse

import pytest

from zeta.byte_size import byte_size
from zeta.data.command_line import main as prepare
from zeta.export.__main__ import main as export


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("10B", 10), ("64MB", 64 * 10**6), ("64MiB", 64 * 2**20), ("1.5 kb", 1500), ("2TIB", 2**41)],
)
def test_size(text: str, size: int) -> None:
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0.5", "-1", "x", "1X", "0x10", "1 M M", "1M", "1iB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a size such as"):
        byte_size(text)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (export, ["checkpoint", "out", "--max-shard-size", "5M"]),
        (
            prepare,
            ["prepare", "--input", "a", "--output", "b", "--tokenizer", "train", "--max-file-size", "5M"],
        ),
    ],
)
def test_commands_refuse_it_alike(main, arguments, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "64MiB" in capsys.readouterr().err
