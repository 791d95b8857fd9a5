"""What training minimises."""

import torch
from torch.nn import functional


def next_token_loss(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood, in nats and fp32, of each token given those before it.

    Args:
        tokens: `(batch, seq_len + 1)` ids; the model sees the first `seq_len`, its targets are the last.
    """
    logits = model(input_ids=tokens[:, :-1]).logits
    return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
