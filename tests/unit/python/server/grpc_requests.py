"""What tests over gRPC share; they are skipped where its client cannot be imported."""

from __future__ import annotations

import queue

import numpy as np
import pytest
from server_process import PATIENCE

grpc = pytest.importorskip("grpc")
grpcclient = pytest.importorskip("tritonclient.grpc", exc_type=Exception)
from tritonclient.grpc import service_pb2 as pb  # noqa: E402
from tritonclient.grpc import service_pb2_grpc  # noqa: E402, F401


def to_input(values: np.ndarray, datatype: str, name: str = "INPUT0") -> grpcclient.InferInput:
    tensor = grpcclient.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def request(
    model: str = "identity", raw: bytes | None = b"\0" * 16, **fields: object
) -> pb.ModelInferRequest:
    """A request of one tensor; `fields` change it."""
    message = pb.ModelInferRequest(model_name=model, id=str(fields.get("id", "")))
    tensor = message.inputs.add(name=fields.get("name", "INPUT0"), datatype=fields.get("datatype", "FP32"))
    tensor.shape.extend(fields.get("shape", [2, 2]))
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


class Collected:
    """The responses of a stream, one after another."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[object, object]] = queue.Queue()

    def __call__(self, result: object, error: object) -> None:
        self._queue.put((result, error))

    def next(self) -> object:
        result, error = self._queue.get(timeout=PATIENCE)
        if error is not None:
            raise error  # type: ignore[misc]
        return result.get_response()  # type: ignore[attr-defined]
