import os
import subprocess
import sys
from pathlib import Path

import pytest

from zeta.data.errors import DataError
from zeta.data.local_store import LocalStore
from zeta.data.store import open_store


def test_a_path_and_its_file_uri_are_one_place(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20ü"
    assert open_store(odd.as_uri()) == open_store(str(odd)) == LocalStore(str(odd))
    assert open_store(str(odd)).uri == odd.as_uri()


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("gs://bucket", "expected a path, file:///… or s3://…, got 'gs://bucket'"),
        ("file://host/path", "expected a path or file:///absolute/path"),
        ("s3://", "expected s3://bucket"),
        ("s3://key:word@bucket/x", "credentials in an s3:// URI end up in logs"),
        ("s3://bucket/x?endpoint=y", "after '\\?', got 'endpoint'"),
    ],
)
def test_a_wrong_uri_is_refused(uri: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as raised:
        open_store(uri)
    assert "word" not in str(raised.value)


def test_walk_names_odd_files_and_follows_no_loop(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "sub" / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with open(os.fsencode(tmp_path) + b"/\xff", "w") as file:
        file.write("text")
    store = LocalStore(str(tmp_path))
    found = {store.uri_of(entry.name).removeprefix(store.uri): entry.problem for entry in store.walk()}
    assert found == {
        "/%FF": None,
        "/pipe": "not a regular file",
        "/sub/dangling": "cannot be read: No such file or directory",
    }


def test_write_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(str(tmp_path))
    store.write("deep/file", b"old")

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(DataError, match=r"cannot write file://.*/deep/file: No space left on device"):
        store.write("deep/file", b"new")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]
    assert store.read("deep/file") == b"old"


def test_the_lock_holds_against_another_process_and_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom zeta.data.local_store import LocalStore\n"
        f"with LocalStore({str(tmp_path)!r}).lock():\n    print('held', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="another run is writing to file://"):
            with LocalStore(str(tmp_path)).lock():
                pass
    finally:
        holder.kill()
        holder.wait()
    with LocalStore(str(tmp_path)).lock():
        assert list(tmp_path.iterdir()) == []
