"""A real run against a real MinIO: sources and shards in buckets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from minio_server import MinioServer

from zeta.data import DataError, TokenShards
from zeta.data.command_line import main
from zeta.data.s3_store import S3Store

INPUT = "s3://corpus/json sources"
OUTPUT = "s3://corpus/shards/json"


@pytest.fixture(autouse=True)
def client(minio: MinioServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ZETA_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bucket(minio: MinioServer, json_sources: Path) -> MinioServer:
    minio.filesystem.create_dir("corpus")
    for path in json_sources.glob("*.py"):
        with minio.filesystem.open_output_stream(f"corpus/json sources/{path.name}") as stream:
            stream.write(path.read_bytes())
    with minio.filesystem.open_output_stream("corpus/json sources/latin.py") as stream:
        stream.write(b"caf\xe9")
    return minio


def arguments(*more: str) -> list[str]:
    return [
        "prepare",
        "--input",
        INPUT,
        "--output",
        OUTPUT,
        "--tokenizer",
        "train",
        "--vocab-size",
        "500",
        *more,
    ]


@pytest.fixture(scope="module")
def prepared(bucket: MinioServer) -> str:
    """In a process of its own, whose workers inherit the credentials."""
    done = subprocess.run(
        [sys.executable, "-m", "zeta.data", *arguments()],
        env={**os.environ, **bucket.environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "skipped s3://corpus/json sources/latin.py: not UTF-8 (byte 3)" in done.stderr
    assert bucket.environment["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
    return OUTPUT


def test_shards_in_a_bucket_read_back(prepared: str, json_sources: Path, minio: MinioServer) -> None:
    reader = TokenShards(prepared)
    assert sorted(reader.manifest.inputs) == sorted(
        f"{INPUT}/{path.name}" for path in json_sources.glob("*.py")
    )
    assert len(reader.tokens("train")) == reader.manifest.tokens["train"] > 0
    assert (reader.tokenizer_path / "chat_template.jinja").exists()
    with_query = TokenShards(f"{prepared}/?endpoint_override={minio.endpoint}&region=eu-west-3")
    assert with_query.tokens("validation").tolist() == reader.tokens("validation").tolist()


def test_the_bucket_holds_no_notes_of_the_run(prepared: str) -> None:
    assert {name.split("/")[0] for name in S3Store.parse(prepared).sizes("")} == {
        "manifest.json",
        "tokenizer",
        "train",
        "validation",
    }


def test_a_second_run_does_nothing(
    prepared: str, minio: MinioServer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = minio.filesystem.get_file_info("corpus/shards/json/manifest.json").mtime
    assert main(arguments()) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert minio.filesystem.get_file_info("corpus/shards/json/manifest.json").mtime == before


def test_a_changed_run_refuses(prepared: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments("--seed", "5")) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_foreign_shard_is_named(prepared: str, minio: MinioServer) -> None:
    path = TokenShards(prepared).manifest.of_split("train")[0].path
    store = S3Store.parse(prepared)
    data = store.read(path)
    store.write(path, data[:-1])
    with pytest.raises(DataError, match=f"shard {prepared}/{path} is truncated or foreign"):
        TokenShards(prepared).tokens("train")
    store.write(path, data)


def test_a_missing_bucket_is_named(bucket: MinioServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(), "--output", "s3://nowhere/shards"]) == 1
    assert f"bucket 'nowhere' does not exist at {bucket.endpoint}" in capsys.readouterr().err


def test_a_wrong_key_is_refused_without_showing_it(
    bucket: MinioServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeta.data.s3_store import _connect

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    _connect.cache_clear()
    assert main(arguments()) == 1
    _connect.cache_clear()
    shown = capsys.readouterr().err
    assert "cannot reach s3://corpus/json sources" in shown and "ACCESS_DENIED" in shown
    assert "not-the-secret" not in shown


def test_a_server_that_is_down_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    query = "?endpoint_override=http://127.0.0.1:9"
    assert main([*arguments(), "--input", f"s3://corpus/x{query}"]) == 1
    assert "at http://127.0.0.1:9" in capsys.readouterr().err
