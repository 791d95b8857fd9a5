"""torch's encoder layers have a fused inference path that reads weights past the linear layers' forward."""

from __future__ import annotations

from torch import nn


def leave_fused_inference(model: nn.Module, quantized: type[nn.Module]) -> None:
    """Keep torch's encoder layers that hold a `quantized` layer from that path."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
        elif isinstance(module, nn.TransformerEncoderLayer):
            if isinstance(module.linear1, quantized) or isinstance(module.linear2, quantized):
                module.activation_relu_or_gelu = 0  # torch takes the fused path for relu and gelu only
