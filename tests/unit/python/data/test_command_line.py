from pathlib import Path

import pytest

from zeta.data.command_line import main
from zeta.data.progress import duration


def prepare(*arguments: object) -> int:
    return main(["prepare", "--tokenizer", "train", *map(str, arguments)])


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_help_says_what_a_second_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["prepare", "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "With the same inputs and options it does nothing" in shown
    assert "--validation-input" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--input", "{tmp}/nothing"], "no file to read in file://{tmp}/nothing"),
        (["--input", "{tmp}/latin.txt"], "none of the 1 input files can be used"),
        (["--input", "{tmp}", "--output", "{tmp}"], "input file://{tmp} lies inside the output file://{tmp}"),
        (
            ["--input", "{tmp}/sub", "--output", "{tmp}/good.txt"],
            "cannot use file://{tmp}/good.txt as a folder",
        ),
        (["--input", "{tmp}/sub", "--output", "{tmp}"], "input file://{tmp}/sub lies inside the output"),
        (
            ["--input", "{tmp}/sub", "--output", "{tmp}/used"],
            "output file://{tmp}/used holds files that are not",
        ),
        (["--input", "{tmp}/good.txt", "--vocab-size", "5"], "expected a vocabulary ≥ 257"),
        (
            ["--input", "{tmp}/good.txt", "--validation-fraction", "1"],
            "expected 0 ≤ validation fraction < 1, got 1.0",
        ),
        (["--input", "{tmp}/good.txt", "--num-cpus", "0"], "expected at least 1 CPU, got 0"),
        (
            ["--input", "{tmp}/good.txt", "--validation-input", "{tmp}/good.txt"],
            "no document is left to train on",
        ),
        (
            ["--input", "{tmp}/good.txt", "--tokenizer", "{tmp}/none"],
            "tokenizer file://{tmp}/none: there is no",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    (tmp_path / "good.txt").write_text("text")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for folder in ("sub", "used"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "some.txt").write_text("some")
    before = sorted(tmp_path.rglob("*"))
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    output = [] if "--output" in given else ["--output", tmp_path / "out"]
    assert prepare(*given, *output) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"python -m zeta.data: error: {complaint.format(tmp=tmp_path)}")
    assert sorted(tmp_path.rglob("*")) == before


def test_two_ways_of_validation_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        prepare("--input", "a", "--output", "b", "--validation-fraction", "0.1", "--validation-input", "c")
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m zeta.data prepare: error: ") and error.count("\n") == 1
    assert "not allowed with" in error
