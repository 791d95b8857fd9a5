"""What the soak asks of a server: a class for each kind of traffic, whose `once` makes an exchange and checks it.

An answer that is not the one expected raises AssertionError. Each object belongs to one thread.
"""

from __future__ import annotations

import json
import random
import socket
import urllib.parse
from contextlib import suppress

import httpx
import numpy as np
import torch
import tritonclient.grpc
import tritonclient.http
from torch import Tensor, nn
from tritonclient.utils import InferenceServerException

PATIENCE = 60.0  # seconds for an answer on a busy machine
WIDTH = 16


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Accumulator(nn.Module):
    """Adds up a sequence's values."""

    def forward(self, x: Tensor, start: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        total = total * (1 - start) + x
        return total, total


class Traffic:
    """Where the server is, and a generator of its own."""

    def __init__(self, http: int, grpc: int, seed: int) -> None:
        self.http, self.grpc = f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.setup()

    def setup(self) -> None:
        """Opens what `once` uses again and again."""

    def once(self) -> None:
        raise NotImplementedError

    def infer(self, model: str, values: np.ndarray, module: object, **options: object) -> np.ndarray:
        """The first output of `model`, through `self.client` of `module` (tritonclient.http or .grpc)."""
        name = "INPUT0" if model in ("identity", "coming") else "x"
        tensor = module.InferInput(name, list(values.shape), "FP32")
        tensor.set_data_from_numpy(values)
        answer = self.client.infer(model, [tensor], **options)
        output = answer.get_response()
        first = output["outputs"][0]["name"] if isinstance(output, dict) else output.outputs[0].name
        return answer.as_numpy(first)

    def values(self, *shape: int) -> np.ndarray:
        return self.numbers.standard_normal(shape).astype(np.float32)


class HttpIdentity(Traffic):
    def setup(self) -> None:
        self.client = tritonclient.http.InferenceServerClient(self.http, network_timeout=PATIENCE)

    def once(self) -> None:
        values = self.values(self.random.choice([1, 3, 1000, 50_000]), 2)
        answer = self.infer("identity", values, tritonclient.http)
        assert np.array_equal(answer, values), "identity over HTTP changed the values"


class GrpcIdentity(Traffic):
    def setup(self) -> None:
        self.client = tritonclient.grpc.InferenceServerClient(self.grpc)

    def once(self) -> None:
        values = self.values(self.random.choice([1, 3, 1000, 50_000]), 2)
        answer = self.infer("identity", values, tritonclient.grpc)
        assert np.array_equal(answer, values), "identity over gRPC changed the values"


class Batched(HttpIdentity):
    """A TorchScript model behind the dynamic batcher; `module` is the same model here."""

    module = Mlp()

    def once(self) -> None:
        values = self.values(self.random.randint(1, 4), WIDTH)
        with torch.no_grad():
            expected = self.module(torch.from_numpy(values)).numpy()
        answer = self.infer("mlp", values, tritonclient.http)
        # Sums of 64 products, each rounded to 2^-24 of values below 8.
        np.testing.assert_allclose(answer, expected, rtol=0, atol=64 * 8 * 2**-24)


class Sequences(GrpcIdentity):
    """One sequence of a few steps; some are left without an end."""

    def once(self) -> None:
        name, total = self.random.randint(1, 2**60), 0.0
        steps = self.random.randint(1, 5)
        for i in range(steps):
            value = float(self.random.randint(-9, 9))
            total += value
            ends = i + 1 == steps and self.random.random() < 0.9
            answer = self.infer(
                "sums",
                np.full((1, 1), value, np.float32),
                tritonclient.grpc,
                sequence_id=name,
                sequence_start=i == 0,
                sequence_end=ends,
            )
            assert answer.item() == total, f"sequence {name} is at {answer.item()}, not {total}"


class ComingAndGoing(HttpIdentity):
    """Requests to a model that is loaded and unloaded meanwhile: right, or refused for that reason."""

    def once(self) -> None:
        values = self.values(4, 2)
        try:
            answer = self.infer("coming", values, tritonclient.http)
        except InferenceServerException as error:
            assert "coming" in error.message(), f"refused for another reason: {error}"
        else:
            assert np.array_equal(answer, values), (
                "a model changed its answer while it was loaded or unloaded"
            )


class Loads(HttpIdentity):
    def once(self) -> None:
        self.client.load_model("coming")
        assert self.client.is_model_ready("coming"), "loaded, yet not ready"
        if self.random.random() < 0.5:
            self.client.load_model("coming")
        self.client.unload_model("coming")


class StreamsCutShort(Traffic):
    """A decoupled model over gRPC whose reader goes after a response or two."""

    def once(self) -> None:
        first: list[object] = []
        with tritonclient.grpc.InferenceServerClient(self.grpc) as client:
            client.start_stream(lambda result, error: first.append(error or result))
            tensor = tritonclient.grpc.InferInput("INPUT0", [1], "BYTES")
            tensor.set_data_from_numpy(np.array([b"again"], np.object_))
            client.async_stream_infer("many", [tensor])
            client.stop_stream(cancel_requests=True)
        for one in first:
            if isinstance(one, InferenceServerException):
                assert "ancel" in str(one), f"a stream failed for another reason: {one}"
            else:
                assert one.as_numpy("OUTPUT0").item() == b"again"


class ClientsThatLeave(Traffic):
    """Sockets that close in the middle: of a head, of a body, of waiting for an answer, of a stream of text."""

    def once(self) -> None:
        host, port = self.http.split(":")
        body = json.dumps({"text_input": "a long story", "stream": True}).encode()
        whole = b"POST /v2/models/slow/generate_stream HTTP/1.1\r\nHost: x\r\n"
        whole += f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection((host, int(port)), PATIENCE) as connection:
            connection.sendall(whole[: self.random.randint(1, len(whole))])
            if self.random.random() < 0.3:
                connection.settimeout(0.05)
                with suppress(TimeoutError):
                    connection.recv(self.random.choice([1, 200]))


GOOD = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
BAD: list[tuple[str, bytes, dict[str, str], set[int]]] = [
    ("/v2/models/nothing/infer", b"{}", {}, {400, 404}),
    ("/v2/models/identity/versions/9/infer", b"{}", {}, {400, 404}),
    ("/v2/models/identity/infer", b"{", {}, {400}),
    ("/v2/models/identity/infer", b"[" * 10_000, {}, {400}),
    ("/v2/models/identity/infer", json.dumps({"inputs": [GOOD | {"shape": [-1, 2]}]}).encode(), {}, {400}),
    (
        "/v2/models/identity/infer",
        json.dumps({"inputs": [GOOD | {"shape": [2**40, 2**40]}]}).encode(),
        {},
        {400},
    ),
    ("/v2/models/identity/infer", json.dumps({"inputs": [GOOD | {"datatype": "INT8"}]}).encode(), {}, {400}),
    ("/v2/models/identity/infer", json.dumps({"inputs": [GOOD | {"data": [1]}]}).encode(), {}, {400}),
    ("/v2/models/identity/infer", b"\x1f\x8bnot gzip", {"Content-Encoding": "gzip"}, {400}),
    ("/v2/models/identity/infer", b"{}", {"Inference-Header-Content-Length": "99"}, {400}),
    ("/v2/repository/models/" + urllib.parse.quote("../x", safe="") + "/load", b"{}", {}, {400, 500}),
    ("/v2/systemsharedmemory/region/x/register", b'{"key": "none", "offset": 0, "byte_size": 4}', {}, {500}),
]


class BadRequests(Traffic):
    def setup(self) -> None:
        self.client = httpx.Client(base_url=f"http://{self.http}", timeout=PATIENCE)

    def once(self) -> None:
        path, body, headers, statuses = self.random.choice(BAD)
        answer = self.client.post(path, content=body, headers=headers)
        said = f"{path} {body[:60]!r}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code in statuses, said
        assert answer.json()["error"], said


KINDS = [
    HttpIdentity, GrpcIdentity, Batched, Sequences, ComingAndGoing, Loads, StreamsCutShort, ClientsThatLeave,
    BadRequests,
]  # fmt: skip
