import socket
import time
from pathlib import Path

import pytest

from zeta.train.tracking import MlflowTracker


def test_metrics_and_parameters_reach_an_mlflow_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
    tracker = MlflowTracker("a-run", {"parameters": 7, "dtype": "fp32"})
    for step in (1, 2):
        tracker.log(step, {"loss": 3.0 / step, "lr": 0.5})
    tracker.close("KILLED")

    client = MlflowClient(tracking_uri=f"file:{tmp_path}")
    experiment = client.get_experiment_by_name("test")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "a-run"
    assert run.info.status == "KILLED"
    assert run.data.params == {"parameters": "7", "dtype": "fp32"}
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 3.0), (2, 1.5)]


def test_a_dead_server_costs_one_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    begin = time.monotonic()
    tracker = MlflowTracker("a-run", {})
    for step in range(100):
        tracker.log(step, {"loss": 1.0})
    assert time.monotonic() - begin < 1.0  # Logging never waits for the server.
    tracker.close()
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert uri in warnings[0]
