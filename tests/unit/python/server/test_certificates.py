"""SIGHUP: certificates that are renewed while the server runs."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient
from certificates import make_certificates
from server_process import PATIENCE, Server, StartServer, write_model
from tritonclient.utils import InferenceServerException


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Certificates of two authorities."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        make_certificates(tmp_path / name)
    return tmp_path / "old", tmp_path / "new"


def start_with(start_server: StartServer, folder: Path, tmp_path: Path) -> Server:
    write_model(tmp_path / "models", "identity", {})
    files = ["--grpc-server-cert", folder / "server.pem", "--grpc-server-key", folder / "server.key"]
    mutual = ["--grpc-use-ssl-mutual", "true", "--grpc-root-cert", folder / "ca.pem"]
    server = start_server("--model-repository", tmp_path / "models", *files, *mutual)
    server.wait_ready()
    return server


def connects(server: Server, folder: Path) -> bool:
    """Whether a client that trusts the authority of `folder`, and is signed by it, is served."""
    with grpcclient.InferenceServerClient(
        server.grpc_url, ssl=True, root_certificates=str(folder / "ca.pem"),
        private_key=str(folder / "client.key"), certificate_chain=str(folder / "client.pem"),
    ) as client:  # fmt: skip
        try:
            return bool(client.is_server_live(client_timeout=PATIENCE))
        except InferenceServerException:
            return False


def test_new_certificates_are_used(
    start_server: StartServer, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = folders
    used = tmp_path / "used"
    shutil.copytree(old, used)
    server = start_with(start_server, used, tmp_path)
    assert connects(server, old) and not connects(server, new)
    shutil.copytree(new, used, dirs_exist_ok=True)
    assert connects(server, old), "nothing happens before it is told"
    server.process.send_signal(signal.SIGHUP)
    server.wait_until(lambda: "certificate reloaded" in server.log, "reloaded")
    server.wait_until(lambda: connects(server, new), "the new certificate and who signs clients")
    assert not connects(server, old)
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("server.pem", "nonsense", "server.pem' holds no certificate"),
        ("server.key", "nonsense", "server.key' holds no private key"),
        ("server.key", "another", "is not the key of"),
        ("ca.pem", "", "ca.pem' holds no certificate"),
        ("server.pem", None, "cannot read"),
    ],
)
def test_bad_files_leave_the_old_certificate(
    start_server: StartServer, folders: tuple[Path, Path], tmp_path: Path,
    name: str, content: str | None, said: str,
) -> None:  # fmt: skip
    old, new = folders
    used = tmp_path / "used"
    shutil.copytree(old, used)
    server = start_with(start_server, used, tmp_path)
    if content is None:
        (used / name).unlink()
    else:
        (used / name).write_text((new / name).read_text() if content == "another" else content)
    server.process.send_signal(signal.SIGHUP)
    server.wait_until(lambda: "certificate not reloaded; the old one stays" in server.log, "refused")
    assert said in server.log
    assert connects(server, old)
    assert server.stop() == 0
