"""Folders that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from zeta.export import ExportError
from zeta.export.folder import new_folder


def model_folder(path: Path, content: str = "old") -> Path:
    path.mkdir()
    (path / "config.json").write_text(content)
    return path


def test_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with new_folder(out, overwrite=False) as folder:
        (folder / "config.json").write_text("new")
        assert not out.exists()
    assert (out / "config.json").read_text() == "new"
    assert list(out.parent.iterdir()) == [out]


def test_nothing_is_left_of_a_block_that_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out", overwrite=False) as folder:
        (folder / "config.json").write_text("new")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_existing_is_refused(tmp_path: Path) -> None:
    out = model_folder(tmp_path / "out")
    with pytest.raises(ExportError, match="exists; .*--overwrite"), new_folder(out, overwrite=False):
        pass
    assert (out / "config.json").read_text() == "old"


def test_overwrite_replaces_all_of_it(tmp_path: Path) -> None:
    out = model_folder(tmp_path / "out")
    (out / "model.safetensors").write_text("old")
    with new_folder(out, overwrite=True) as folder:
        (folder / "config.json").write_text("new")
    assert [path.name for path in out.iterdir()] == ["config.json"]
    assert list(tmp_path.iterdir()) == [out]


def test_failed_overwrite_keeps_the_old(tmp_path: Path) -> None:
    out = model_folder(tmp_path / "out")
    with pytest.raises(OSError), new_folder(out, overwrite=True):
        raise OSError(28, "No space left on device")
    assert (out / "config.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_overwrite_spares_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    model_folder(tmp_path / "model")
    (tmp_path / "link").symlink_to("model")
    for name in ("precious", "file", "link"):
        with pytest.raises(ExportError, match="no model folder"), new_folder(tmp_path / name, overwrite=True):
            pass


def test_leftover_of_a_killed_writer_is_removed(tmp_path: Path) -> None:
    model_folder(tmp_path / "out.tmp-12345")
    with new_folder(tmp_path / "out", overwrite=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_only_looks_like_a_leftover_stays(tmp_path: Path) -> None:
    """Another export's, and a folder that its owner named so; brackets in a name are no pattern."""
    others = {"out[1].tmp-old", "out1.tmp-12345", "out[1].tmp-12345.bak"}
    for name in (*others, "out[1].tmp-12345"):
        model_folder(tmp_path / name)
    with new_folder(tmp_path / "out[1]", overwrite=False):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {*others, "out[1]"}


def test_two_writers(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out", overwrite=False) as first:
        with (
            pytest.raises(ExportError, match="another process"),
            new_folder(tmp_path / "out", overwrite=False),
        ):
            pass
        assert first.name == f"out.tmp-{os.getpid()}" and first.exists()
