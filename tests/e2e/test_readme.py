"""README's chain, typed as it stands there: the shell blocks of its sections Train, Shrink and Serve.

They run in a copy of the checkout, whose Python package and build are links to the real ones, with a small
~/code in a HOME of its own. The words below are all that is changed.
"""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeta.serve import free_ports

ROOT = Path(__file__).resolve().parents[2]
HTTP, METRICS, RENDEZVOUS = free_ports(0, 0, 0)
CHANGES = {
    "../tools/run deepspeed": f"../tools/run deepspeed --master_port {RENDEZVOUS}",
    "--output ../run": "--output ../run --steps 20 --model tiny",
    "zeta-server --model model": f"zeta-server --model model --http-port {HTTP} --metrics-port {METRICS} --grpc-port 0",
    "localhost:8000": f"localhost:{HTTP}",
}
SMALLEST_FILE = 8192  # bytes: any one of them, held out, is a block of validation tokens or more

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("curl") is None, reason="README asks the server with curl"),
]


def blocks(section: str) -> list[str]:
    """The shell blocks of a section, with CHANGES made."""
    text = (ROOT / "README.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for before, after in CHANGES.items():
        found = [block.replace(before, after) for block in found]
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme") / "zeta"
    for name in ("examples", "tools"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("data", "runs", "__pycache__")
        )
    for name in ("python", "build", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / ".gitignore", folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    code = folder.parent / "home" / "code"
    for package in ("email", "json", "logging"):
        for path in Path(sysconfig.get_path("stdlib"), package).glob("*.py"):
            if path.stat().st_size >= SMALLEST_FILE:
                (code / package).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, code / package)
    return folder


def environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(checkout.parent / "home")}


@pytest.fixture(scope="module")
def model(checkout: Path) -> Path:
    """What Train and Shrink leave, typed one after the other into one shell."""
    script = "".join([*blocks("Train"), *blocks("Shrink"), "pwd\n"])
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.stdout.splitlines()[-1] == str(checkout)
    return checkout / "model"


@pytest.fixture
def server(model: Path, tmp_path: Path) -> Iterator[None]:
    """What the first block of Serve starts."""
    with (tmp_path / "server.log").open("w+") as log:
        process = subprocess.Popen(
            ["bash", "-c", blocks("Serve")[0]],
            cwd=model.parent,
            env=environment(model.parent),
            stdout=log,
            stderr=log,
        )
        try:
            wait_until_ready(process, time.monotonic() + 60, tmp_path / "server.log")
            yield
        finally:
            process.terminate()
            process.wait(60)


def wait_until_ready(process: subprocess.Popen, deadline: float, log: Path) -> None:
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            return urllib.request.urlopen(f"http://localhost:{HTTP}/v2/health/ready", timeout=1).close()
        except OSError:
            time.sleep(0.1)


def test_blocks_are_found() -> None:
    """A change that no longer meets its words would train for hours, or on another's port."""
    text = (ROOT / "README.md").read_text()
    assert [len(blocks(section)) for section in ("Train", "Shrink", "Serve")] == [1, 1, 2]
    assert all(text.count(words) == 1 for words in CHANGES)


def test_trains_on_the_readers_text(checkout: Path, model: Path) -> None:
    manifest = json.loads((checkout / "data" / "manifest.json").read_text())
    code = (checkout.parent / "home" / "code").as_uri()
    assert manifest["inputs"] and all(uri.startswith(f"{code}/") for uri in manifest["inputs"])
    zeta = json.loads((checkout / "run" / "checkpoints" / "step-000020" / "zeta.json").read_text())
    assert zeta["data"] == manifest["fingerprint"]
    assert not (checkout / "examples" / "data").exists() and not (checkout / "examples" / "runs").exists()


def test_serves_what_it_trained(model: Path, server: None) -> None:
    done = subprocess.run(
        ["bash", "-c", blocks("Serve")[1]], cwd=model.parent, capture_output=True, text=True, timeout=60
    )
    answer = json.loads(done.stdout)
    assert answer["model"] == "model" and answer["usage"]["completion_tokens"] > 0, answer


def test_leaves_nothing_that_git_would_take(checkout: Path, model: Path) -> None:
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("??")] == []
    ignored = subprocess.run(["git", "check-ignore", "examples/data/x", "examples/runs/x"], cwd=checkout)
    assert ignored.returncode == 0  # what training without --data and --output leaves
