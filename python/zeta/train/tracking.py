"""Metrics sent to an MLflow tracking server, when MLFLOW_TRACKING_URI names one."""

import os
import queue
import sys
import threading
import time
from typing import Any

_CLOSE_SECONDS = {"FINISHED": 30.0, "FAILED": 5.0, "KILLED": 5.0}
_Item = tuple[int, int, dict[str, float]]


class MlflowTracker:
    """Sends parameters and metrics from a thread of its own, so that a slow server never holds training up.

    The first failure prints one warning and ends the sending; training goes on. A tracker made without
    MLFLOW_TRACKING_URI does nothing. `log` and `close` are for one thread.
    """

    def __init__(self, run_name: str, params: dict[str, Any]) -> None:
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._status = "FINISHED"
        self._thread: threading.Thread | None = None
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri:
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # The client's own 7 take minutes.
            self._thread = threading.Thread(target=self._run, args=(uri, run_name, params), daemon=True)
            self._thread.start()

    def log(self, step: int, metrics: dict[str, float]) -> None:
        if self._thread is not None:
            self._items.put((int(time.time() * 1000), step, metrics))

    def close(self, status: str = "FINISHED") -> None:
        """Waits for what is left to be sent, a few seconds; `status` is FINISHED, FAILED or KILLED."""
        if self._thread is not None:
            self._status = status
            self._items.put(None)
            self._thread.join(_CLOSE_SECONDS[status])

    def _run(self, uri: str, run_name: str, params: dict[str, Any]) -> None:
        try:
            self._send(uri, run_name, params)
        except Exception as error:  # Whatever a server or its client does, training must go on.
            print(
                f"train: warning: MLflow at {uri} does not take our metrics, going on without it: "
                f"{str(error).splitlines()[0][:200]}",
                file=sys.stderr,
            )

    def _send(self, uri: str, run_name: str, params: dict[str, Any]) -> None:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "zeta")
        experiment = client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
        run_id = client.create_run(experiment_id, run_name=run_name).info.run_id
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        while (item := self._items.get()) is not None:
            time_ms, step, metrics = item
            client.log_batch(run_id, metrics=[Metric(k, v, time_ms, step) for k, v in metrics.items()])
        client.set_terminated(run_id, status=self._status)
