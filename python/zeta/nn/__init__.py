"""Layers on Zeta's operators.

Importing this also makes `attn_implementation="zeta"` available to every transformers model.
"""

from zeta.nn import _transformers_hook, functional
from zeta.nn.flash_attention import FlashAttention
from zeta.nn.key_value_cache import KeyValueCache
from zeta.nn.multihead_attention import from_multihead_attention, to_multihead_attention

__all__ = [
    "FlashAttention", "KeyValueCache", "from_multihead_attention", "functional", "to_multihead_attention",
]  # fmt: skip

_transformers_hook.install()
