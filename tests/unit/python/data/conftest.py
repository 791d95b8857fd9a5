"""What the tests of ``zeta.data`` share: one Ray, one MinIO, a small corpus."""

from __future__ import annotations

import email
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio_server import MinioServer, minio_server

from zeta.data.byte_level_bpe import train_byte_level_bpe
from zeta.data.local_ray import local_ray
from zeta.data.local_store import LocalStore

JSON_SOURCES = Path(json.__file__).parent
EMAIL_SOURCES = Path(email.__file__).parent


@pytest.fixture(scope="session")
def ray() -> Iterator[None]:
    """Started once, as it takes seconds; ``prepare`` uses the Ray that runs."""
    with local_ray(num_cpus=2):
        yield


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def json_sources() -> Path:
    """The ``json`` package of the standard library: real text, on every machine."""
    return JSON_SOURCES


@pytest.fixture(scope="session")
def email_sources() -> Path:
    return EMAIL_SOURCES


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer, trained on ``json``."""
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [path.read_text() for path in sorted(JSON_SOURCES.glob("*.py"))]
    train_byte_level_bpe(texts, 600).write(LocalStore(str(folder)), "")
    return folder
