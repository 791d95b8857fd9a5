"""`python -m zeta.export`: exit status, output, and what is left after a kill or on a full disk."""

import multiprocessing
import os
import signal
import subprocess
from pathlib import Path

import pytest

from zeta.export.__main__ import main


def test_prints_sizes_and_place(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main([str(checkpoint), str(tmp_path / "out"), "--precision", "4bit", "--max-shard-size", "100KB"])
        == 0
    )
    printed = capsys.readouterr().out
    for part in ("linear layers", "embeddings", "rest", "total", "×", f"wrote {tmp_path / 'out'}"):
        assert part in printed


def test_mistake_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"zeta.export: {tmp_path / 'missing'}: no such folder\n"


@pytest.mark.parametrize(
    "wrong",
    [["--precision", "3bit"], ["--max-shard-size", "0"], ["--max-shard-size", "5XB"], ["--over"]],
)
def test_wrong_command_line_is_one_line_and_status_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["checkpoint", "out", *wrong])
    error = capsys.readouterr().err
    assert error.startswith("python -m zeta.export: error: ") and error.count("\n") == 1
    assert wrong[-1] in error


def test_full_disk(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs takes root's rights")
    try:
        assert main([str(checkpoint), str(disk / "out")]) == 1
        error = capsys.readouterr().err
        assert "No space left on device" in error and error.count("\n") == 1
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("moment", ["zeta.export.shards.save_file", "zeta.export.folder._publish"])
def test_kill_leaves_no_model(
    checkpoint: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it writes, or with all but the rename done, it leaves what the next run removes."""
    command = [str(checkpoint), str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(moment, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        process = multiprocessing.get_context("fork").Process(target=main, args=(command,))
        process.start()
        process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("out*")] == [f"out.tmp-{process.pid}"]
    assert main(command) == 0
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]
