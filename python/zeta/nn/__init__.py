"""Layers on Zeta's operators.

Importing this also makes `attn_implementation="zeta"` available to every transformers model.
"""

from zeta.nn import _transformers_hook, functional
from zeta.nn.flash_attention import FlashAttention

__all__ = ["FlashAttention", "functional"]

_transformers_hook.install()
