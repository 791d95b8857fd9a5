"""What goes into an image, the systemd unit, and the name that deployments of Triton start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import torch
from server_process import StartServer, program, write_model

ROOT = Path(__file__).resolve().parents[4]
SITE = Path(torch.__file__).parents[1]
GB = 10**9


def collect(*words: str | Path) -> subprocess.CompletedProcess[str]:
    build = program().parents[1]
    if not (build / "lib/libzeta_backend_pytorch.so").exists():
        pytest.skip("the backends with torch are not built")
    command = [sys.executable, ROOT / "packaging/collect", "--program", build, "--torch", SITE]
    return subprocess.run([*map(str, command), *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize(("variant", "limit"), [("cpu", 1.4 * GB), ("cuda", 3.8 * GB)])
def test_files_of_an_image_are_small_enough(variant: str, limit: float) -> None:
    if variant == "cuda" and not list(SITE.glob("nvidia/*/lib")):
        pytest.skip("this torch has no CUDA")
    done = collect("--variant", variant, "--limit", str(int(limit)))
    assert done.returncode == 0, done.stderr
    refused = collect("--variant", variant, "--limit", "1000000")
    assert refused.returncode == 1 and "more than 1,000,000" in refused.stderr


def test_collected_files_run_alone(tmp_path: Path) -> None:
    done = collect("--variant", "cpu", "--out", tmp_path / "zeta")
    assert done.returncode == 0, done.stderr
    alone = {"LD_LIBRARY_PATH": str(tmp_path / "zeta/lib")}
    started = tmp_path / "zeta/bin/tritonserver"
    version = subprocess.run([started, "--version"], env=alone, capture_output=True, text=True)
    assert version.returncode == 0, version.stderr
    collected = {path.name for path in (tmp_path / "zeta/lib").iterdir()}
    base = (
        "linux-vdso",
        "ld-linux",
        "libc.",
        "libm.",
        "libdl.",
        "libpthread.",
        "librt.",
        "libgcc_s.",
        "libstdc++.",
    )
    for path in (tmp_path / "zeta/lib").glob("libzeta_backend_*.so"):
        # A build tree's search paths are of this machine; those of what is installed are not.
        listed = subprocess.run(["ldd", path], env=alone, capture_output=True, text=True, check=True).stdout
        names = {Path(line.split()[0]).name for line in listed.splitlines()}
        missing = {name for name in names - collected if not name.startswith(base)}
        assert not missing, f"{path.name} asks for what was not collected"


def test_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here")
    text = (ROOT / "packaging/zeta-server.service").read_text()
    unit = tmp_path / "zeta-server.service"
    unit.write_text(text.replace("/opt/zeta/bin/zeta-server", "/bin/true"))
    done = subprocess.run([verify, "verify", unit], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_command_line_of_kserve(start_server: StartServer, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "identity", {})
    started = program().with_name("tritonserver")
    assert os.readlink(started) == "zeta-server"
    flags = [
        "--model-store",
        tmp_path / "models",
        "--allow-grpc=true",
        "--allow-http=true",
        "--log-verbose=0",
    ]
    pools = [
        "--pinned-memory-pool-byte-size=0",
        "--strict-model-config=false",
        "--log-info=true",
        "--id=mine",
    ]
    server = start_server(*flags, *pools)
    server.wait_ready()
    assert httpx.get(server.url + "/v2").json()["name"] == "mine"


def test_wrong_flags_exit_with_2_under_the_name_it_was_started_by() -> None:
    started = program().with_name("tritonserver")
    done = subprocess.run(
        [started, "--strict-model-config=true", "--model", "x"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "only false can be had" in done.stderr
    help_text = subprocess.run([started, "--help"], capture_output=True, text=True).stdout
    assert "tritonserver [OPTIONS]" in help_text
    for group in ("Models:", "HTTP:", "gRPC:", "Access:", "Metrics:", "Operation:", "Traces:", "As Triton:"):
        assert group in help_text
