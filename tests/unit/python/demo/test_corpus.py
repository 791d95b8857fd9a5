"""What the demo trains on, and what it only measures on."""

from pathlib import Path

import pytest

import corpus
from zeta.data import DataError, command_line, standard_library
from zeta.data.options import PrepareOptions
from zeta.data.progress import Progress
from zeta.data.split import split_by_input
from zeta.data.survey import survey

TRAINED_ON = {"argparse.py", "json/decoder.py", "email/mime/text.py"}
HELD_OUT = {f"{package}/{name}.py" for package in corpus.HELD_OUT for name in ("client", "server/main")}
LEFT_OUT = {
    "json/notes.txt",
    "json/tests/test_decoder.py",
    "http/tests/test_client.py",
    "test/support/script.py",
    "site-packages/numpy/core.py",
    "lib2to3/main.py",
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in TRAINED_ON | HELD_OUT | LEFT_OUT:
        path = tmp_path / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    monkeypatch.setattr(standard_library.sysconfig, "get_path", lambda name: str(tmp_path / "library"))
    return tmp_path / "library"


def options(monkeypatch: pytest.MonkeyPatch) -> PrepareOptions:
    """What `zeta.data prepare` makes of the demo's arguments."""
    taken: list[PrepareOptions] = []
    monkeypatch.setattr(command_line, "prepare", lambda options, progress: taken.append(options))
    command_line.main(["prepare", *corpus.training_arguments(), "--output", "out", "--tokenizer", "train"])
    return taken[0]


def test_splits(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = options(monkeypatch)

    def files(inputs: list[str]) -> list:
        return survey(inputs, "file:///out", given.selection, 2**20, 1, Progress(None)).documents

    splits = split_by_input(files(given.inputs), files(given.validation_inputs))
    names = {
        split: {
            str(Path(document.uri.removeprefix("file://")).relative_to(library)) for document in documents
        }
        for split, documents in splits.items()
    }
    assert names == {"train": TRAINED_ON, "validation": HELD_OUT}


def test_a_python_without_source_is_named(library: Path) -> None:
    (library / "argparse.py").unlink()
    with pytest.raises(DataError, match="holds no Python source"):
        corpus.training_arguments()
