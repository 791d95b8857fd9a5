"""/metrics under Triton's names and our own."""

from __future__ import annotations

import re
import shutil
import subprocess

import httpx
import pytest
from server_process import Server

SAMPLE = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{(\w+="[^"\\]*",?)+\})? (-?[0-9.]+(e[+-]?[0-9]+)?|[+-]Inf|NaN)'
)


def scrape(server: Server) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{server.ports['metrics']}/metrics")


def test_counts(server: Server) -> None:
    tensor = {"name": "INPUT0", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    labels = '{model="identity",version="1"}'
    before = server.metrics()
    for inputs in [[tensor], [tensor], []]:
        httpx.post(server.url + "/v2/models/identity/infer", json={"inputs": inputs})
    after = server.metrics()

    def grown(name: str) -> float:
        return after[name] - before[name]

    assert grown("nv_inference_request_success" + labels) == 2
    assert grown("nv_inference_count" + labels) == 2
    assert grown('nv_inference_request_failure{model="identity",version="1",reason="OTHER"}') == 1
    assert after["zeta_inference_in_flight" + labels] == 0


def test_generation_latency(server: Server) -> None:
    httpx.post(server.url + "/v1/completions", json={"model": "text", "prompt": "one two three"})
    metrics = server.metrics()
    assert metrics['zeta_openai_time_to_first_token_seconds_count{model="text"}'] == 1
    assert metrics['zeta_openai_inter_token_latency_seconds_count{model="text"}'] == 2
    assert metrics['zeta_openai_request_duration_seconds_count{model="text"}'] == 1


def test_every_line_is_in_the_text_format(server: Server) -> None:
    answer = scrape(server)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("# ")]
    assert len(lines) > 50
    assert [line for line in lines if not SAMPLE.fullmatch(line)] == []
    types = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types)), "each family once"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool(server: Server) -> None:
    subprocess.run(["promtool", "check", "metrics"], input=scrape(server).content, check=True)


def test_the_service_port_has_no_metrics(server: Server) -> None:
    assert httpx.get(server.url + "/metrics").status_code == 404
