"""Model repositories in S3 buckets, on a real MinIO."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from minio_server import MinioServer, minio_server
from server_process import Server, StartServer

CONFIG = b'backend: "echo"\n'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as running:
        yield running


class Bucket:
    """A bucket of one test's own."""

    def __init__(self, store: MinioServer, name: str) -> None:
        self.files, self.name = store.filesystem, name
        self.files.create_dir(name)
        self.url = f"s3://{store.endpoint.removeprefix('http://')}/{name}/models"

    def put(self, key: str, content: bytes) -> None:
        with self.files.open_output_stream(f"{self.name}/models/{key}") as out:
            out.write(content)

    def put_model(self, name: str, shape: list[int], version: int = 1) -> None:
        self.put(f"{name}/config.pbtxt", CONFIG)
        settings = {"kind": "identity", "shape": shape}
        self.put(f"{name}/{version}/echo.json", json.dumps(settings).encode())

    def remove(self, name: str) -> None:
        self.files.delete_dir(f"{self.name}/models/{name}")


@pytest.fixture
def bucket(store: MinioServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for key, value in store.environment.items():
        if key != "AWS_ENDPOINT_URL":  # the URL says it
            monkeypatch.setenv(key, value)
    return Bucket(store, request.node.name.split("[")[0].replace("_", "-").removeprefix("test-")[:50])


def copies(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)).partition("/")[2] for path in folder.rglob("*") if path.is_file()
    )


def shape_of(server: Server, model: str) -> list[int] | None:
    response = httpx.get(f"{server.url}/v2/models/{model}")
    return response.json()["inputs"][0]["shape"] if response.status_code == 200 else None


def test_models_are_fetched_and_served(start_server: StartServer, bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    bucket.put_model("one", [-1, 2])
    bucket.put_model("two", [3])
    bucket.put("two/1/a folder/ü+%.txt", b"x" * 200_000)
    bucket.put("two/1/empty", b"")
    server = start_server("--model-repository", bucket.url, "--model-copy-folder", tmp_path / "copies")
    server.wait_ready()
    assert shape_of(server, "one") == [-1, 2] and shape_of(server, "two") == [3]
    assert copies(tmp_path / "copies") == [
        "one/1/echo.json", "one/config.pbtxt", "two/1/a folder/ü+%.txt", "two/1/echo.json", "two/1/empty",
        "two/config.pbtxt",
    ]  # fmt: skip
    assert server.stop() == 0
    assert list((tmp_path / "copies").iterdir()) == [], "removed at the end"


def test_by_environment_and_with_more_models_than_a_page(
    start_server: StartServer, bucket: Bucket, store: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    bucket.put_model("m", [2])
    for i in range(1_100):  # a listing has 1000 keys a page
        bucket.put(f"m/1/part-{i:04}", b"%d" % i)
    server = start_server("--model-repository", f"s3://{bucket.name}/models")
    server.wait_ready()
    assert "files=1102" in server.log


def test_explicit_control(start_server: StartServer, bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    bucket.put_model("m", [2])
    bucket.put_model("other", [2])
    flags = ["--model-control-mode", "explicit", "--load-model", "m", "--model-copy-folder", folder]
    server = start_server("--model-repository", bucket.url, *flags)
    server.wait_ready()
    index = {
        model["name"]: model.get("state") for model in httpx.post(server.url + "/v2/repository/index").json()
    }
    assert index == {"m": "READY", "other": None}
    bucket.put_model("m", [5])
    load, unload = (f"{server.url}/v2/repository/models/m/{what}" for what in ("load", "unload"))
    assert httpx.post(load, timeout=60).status_code == 200
    assert shape_of(server, "m") == [5], "loaded anew"
    assert copies(folder) == ["m/1/echo.json", "m/config.pbtxt"], "the old files are gone"
    assert httpx.post(unload).status_code == 200
    server.wait_until(lambda: copies(folder) == [], "removed when unloaded")
    missing = httpx.post(f"{server.url}/v2/repository/models/none/load", timeout=60)
    assert missing.status_code == 500 and "failed to poll from model repository" in missing.text


def test_polling_sees_what_comes_changes_and_goes(start_server: StartServer, bucket: Bucket) -> None:
    bucket.put_model("m", [2])
    flags = ["--model-control-mode", "poll", "--repository-poll-secs", "1"]
    server = start_server("--model-repository", bucket.url, *flags)
    server.wait_ready()
    bucket.put_model("new", [7])
    server.wait_until(lambda: shape_of(server, "new") == [7], "a new model")
    bucket.put_model("m", [4], version=2)
    server.wait_until(lambda: shape_of(server, "m") == [4], "a new version")
    fetched = server.log.count("model fetched")
    bucket.remove("new")
    server.wait_until(lambda: shape_of(server, "new") is None, "gone")
    assert server.log.count("model fetched") == fetched, "what did not change is not fetched again"


def test_keys_that_would_leave_the_folder(
    start_server: StartServer, bucket: Bucket, store: MinioServer
) -> None:
    # MinIO itself refuses "..", so that such a bucket is shown by its XML in the C++ tests; "//" is an empty name.
    bucket.put_model("m", [2])
    bucket.put("m/1/back\\slash", b"")
    server = start_server("--model-repository", bucket.url, "--exit-on-error", "false")
    server.wait_live()
    server.wait_until(lambda: "is no path inside the model" in server.log, "refused by name")
    assert shape_of(server, "m") is None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "status 403 SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "status 403 InvalidAccessKeyId"),
        ("TRITON_CLOUD_CREDENTIAL_PATH", "/nowhere", "cannot read /nowhere"),
    ],
)
def test_credentials_that_are_wrong(
    start_server: StartServer,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(variable, value)
    server = start_server("--model-repository", bucket.url)
    assert server.process.wait(60) == 2
    assert said in server.log and (variable.startswith("TRITON") or bucket.name in server.log)


def test_credential_file(
    start_server: StartServer, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_model("m", [2])
    good = {"key_id": os.environ["AWS_ACCESS_KEY_ID"], "secret_key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    bad = {"key_id": "nobody", "secret_key": "wrong"}
    file = tmp_path / "credentials.json"
    monkeypatch.setenv("TRITON_CLOUD_CREDENTIAL_PATH", str(file))
    file.write_text(json.dumps({"gs": {"": "x"}, "s3": {"": bad, bucket.url.rsplit("/", 1)[0]: good}}))
    server = start_server("--model-repository", bucket.url)
    server.wait_ready()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://127.0.0.1:1/bucket", "s3://bucket/: cannot ask 127.0.0.1:1: Connection refused"),
        ("s3://", "expected the name of a bucket"),
    ],
)
def test_no_such_store(start_server: StartServer, url: str, said: str) -> None:
    server = start_server("--model-repository", url)
    assert server.process.wait(60) == 2
    assert said in server.log


def test_no_such_bucket(start_server: StartServer, bucket: Bucket) -> None:
    server = start_server("--model-repository", bucket.url.replace(bucket.name, "missing-bucket"))
    assert server.process.wait(60) == 2
    assert "s3://missing-bucket/: status 404 NoSuchBucket" in server.log


def test_limit_of_the_copies(start_server: StartServer, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_model("m", [2])
    bucket.put("m/1/large", b"x" * 100_000)
    bucket.put_model("small", [2])
    flags = ["--model-copy-limit", "50000", "--exit-on-error", "false", "--model-copy-folder", tmp_path]
    server = start_server("--model-repository", bucket.url, *flags)
    server.wait_live()
    server.wait_until(lambda: shape_of(server, "small") == [2], "the small one fits")
    server.wait_until(lambda: "(--model-copy-limit)" in server.log, "refused by name")
