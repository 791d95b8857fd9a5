"""Talk to zeta-server as any OpenAI client does."""

import time
from dataclasses import dataclass


@dataclass
class Completion:
    """A streamed completion: its text, its number of tokens and when they came, in seconds."""

    text: str
    tokens: int
    seconds_to_first: float
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Over the whole answer, the prompt included: pieces may reach a client later than they were made."""
        return self.tokens / self.seconds


def greedy(model: str, prompt: str, max_tokens: int) -> dict[str, object]:
    """The body of a request for a greedy completion; a small model would repeat itself without the penalty."""
    return {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0,
            "repetition_penalty": 1.1}  # fmt: skip


def complete(url: str, body: dict[str, object]) -> Completion:
    """Stream the completion that `body` asks for to the terminal as it comes."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    began, first, text, tokens = time.perf_counter(), None, "", 0
    stream = client.completions.create(
        model=body["model"], prompt=body["prompt"], stream=True, stream_options={"include_usage": True},
        extra_body=body,
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
