"""Start zeta-server over a model folder, and talk to it as any OpenAI client does."""

import contextlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def free_port(preferred: int) -> int:
    """`preferred` where it is free on loopback, else one that is."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise OSError("no free port on 127.0.0.1")


def server_command(model: Path, port: int, metrics_port: int) -> list[str]:
    """The command that serves `model` under the name of its folder."""
    return [
        "zeta-server",
        *("--model", f"{model.name}={model}"),
        *("--http-port", str(port), "--metrics-port", str(metrics_port)),
    ]


def wait_until_ready(process: subprocess.Popen, url: str, log: Path, timeout: float = 60) -> None:
    """Return once GET url/v2/health/ready answers 200.

    Raises:
        RuntimeError: the server ended, or was not ready within `timeout` seconds; names its log.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"zeta-server ended with {process.returncode}: {log.read_text()[-500:]}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{url}/v2/health/ready", timeout=1)
            return
        time.sleep(0.02)
    raise RuntimeError(f"zeta-server was not ready within {timeout:.0f} s; see {log}")


@contextlib.contextmanager
def serving(model: Path, log: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `model` while the block runs; yields the base URL and the command that repeats it."""
    port = free_port(8000)
    command = server_command(model, port, free_port(8002))
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until_ready(process, url, log)
            yield url, command
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@dataclass
class Completion:
    """A streamed completion: its text, its number of tokens and when they came, in seconds."""

    text: str
    tokens: int
    seconds_to_first: float
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Rate of decoding, the time to the first token left out."""
        return (self.tokens - 1) / (self.seconds - self.seconds_to_first) if self.tokens > 1 else 0.0


def complete(url: str, model: str, prompt: str, max_tokens: int) -> Completion:
    """Stream a greedy completion of `prompt` to the terminal as it comes."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    began, first, text, tokens = time.perf_counter(), None, "", 0
    stream = client.completions.create(
        model=model, prompt=prompt, max_tokens=max_tokens, temperature=0, stream=True,
        stream_options={"include_usage": True}, extra_body={"repetition_penalty": 1.1},
    )  # fmt: skip
    for chunk in stream:
        if chunk.usage:
            tokens = chunk.usage.completion_tokens
        if chunk.choices and chunk.choices[0].text:
            first = first or time.perf_counter()
            text += chunk.choices[0].text
            print(chunk.choices[0].text, end="", flush=True)
    ended = time.perf_counter()
    return Completion(text, tokens, (first or ended) - began, ended - began)
