"""A prefix in a bucket of S3 or of a server that speaks it, such as MinIO."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from pyarrow import fs

from zeta.data.errors import DataError
from zeta.data.store import Entry

_CONNECT_SECONDS = 5
_REQUEST_SECONDS = 60


@dataclass(frozen=True)
class S3Store:
    """Objects below ``path`` (``bucket`` or ``bucket/prefix``), addressed path style.

    ``endpoint`` is ``http[s]://host[:port]``, empty for AWS. Credentials come from the environment of the
    process that uses the store and are never part of it, of a URI or of a message.
    """

    path: str
    endpoint: str
    region: str

    @classmethod
    def parse(cls, uri: str) -> S3Store:
        location, _, query = uri.removeprefix("s3://").partition("?")
        path = location.strip("/")
        if "@" in path.split("/")[0]:
            raise DataError(
                "credentials in an s3:// URI end up in logs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if not path:
            raise DataError(f"expected s3://bucket or s3://bucket/prefix, got {uri!r}")
        options = {key: values[-1] for key, values in parse_qs(query).items()}
        unknown = sorted(options.keys() - {"endpoint_override", "region", "scheme"})
        if unknown:
            raise DataError(
                f"expected only endpoint_override, region and scheme after '?', got {unknown[0]!r}"
            )
        endpoint = options.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL", "")
        if endpoint and "://" not in endpoint:
            endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
        region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return cls(path, endpoint.rstrip("/"), region or ("us-east-1" if endpoint else ""))

    @property
    def uri(self) -> str:
        return "s3://" + self.path

    def resolved(self) -> S3Store:
        return self

    def uri_of(self, name: str) -> str:
        return f"{self.uri}/{name}"

    def is_file(self) -> bool:
        return "/" in self.path and self._info(self.path).type == fs.FileType.File

    def parent(self) -> tuple[S3Store, str]:
        folder, _, name = self.path.rpartition("/")
        return S3Store(folder, self.endpoint, self.region), name

    def stat(self, name: str) -> Entry:
        info = self._info(f"{self.path}/{name}")
        return Entry(name, info.size or 0, None if info.is_file else "no such object")

    def walk(self, skip: Callable[[str], bool] | None = None) -> Iterator[Entry]:
        yield from (Entry(name, size) for name, size in self.sizes("").items())

    def sizes(self, folder: str) -> dict[str, int]:
        base = f"{self.path}/{folder}".rstrip("/")
        with self._errors("list", base):
            found = self._filesystem.get_file_info(
                fs.FileSelector(base, recursive=True, allow_not_found=True)
            )
        return {info.path[len(self.path) + 1 :]: info.size for info in found if info.is_file}

    def read(self, name: str) -> bytes:
        with self._filesystem.open_input_stream(f"{self.path}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        # S3 shows an object only once it is complete, so there is no temporary name.
        path = f"{self.path}/{name}"
        with self._errors("write", path), self._filesystem.open_output_stream(path) as stream:
            stream.write(data)

    def delete(self, name: str) -> None:
        with self._errors("delete", f"{self.path}/{name}"), suppress(FileNotFoundError):
            self._filesystem.delete_file(f"{self.path}/{name}")

    def delete_folder(self, name: str) -> None:
        with self._errors("delete", f"{self.path}/{name}"), suppress(FileNotFoundError):
            self._filesystem.delete_dir(f"{self.path}/{name}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        # S3 has no lock that dies with its holder. Two runs of one job write the same bytes to the same
        # objects, and the manifest's hashes give away a mixture of two different jobs.
        bucket = self.path.split("/")[0]
        if self._info(bucket).type != fs.FileType.Directory:
            raise DataError(f"bucket {bucket!r} does not exist at {self.endpoint or 'AWS'}: create it first")
        yield

    @property
    def _filesystem(self) -> fs.S3FileSystem:
        return _connect(self.endpoint, self.region)

    def _info(self, path: str) -> fs.FileInfo:
        with self._errors("reach", path):
            return self._filesystem.get_file_info(path)

    @contextmanager
    def _errors(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f" at {self.endpoint}" if self.endpoint else ""
            reason = str(error).splitlines()[0]
            raise DataError(f"cannot {verb} s3://{path}{where}: {reason}") from error


@lru_cache(maxsize=8)
def _connect(endpoint: str, region: str) -> fs.S3FileSystem:
    scheme, _, host = endpoint.rpartition("://")
    return fs.S3FileSystem(
        endpoint_override=host or None,
        scheme=scheme or None,
        region=region or None,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
    )
