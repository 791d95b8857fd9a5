"""Model shapes by name, for `--model`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The shape of a Llama decoder; `seq_len` is the number of tokens in one training example."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    seq_len: int
    tie_embeddings: bool = True


PRESETS: dict[str, Shape] = {
    "tiny": Shape(128, 2, 4, 2, 384, 128),
    "small": Shape(256, 4, 4, 2, 768, 256),
    "base": Shape(768, 12, 12, 4, 2048, 1024),
    "large": Shape(2048, 16, 32, 8, 8192, 2048),
}
