"""The weights of a model that is spread over ranks, each of which sees only its part."""

import math
from typing import Any

import torch
from torch import nn


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimizer groups: matrices decay; norms, biases and embeddings do not."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decay: list[nn.Parameter] = []
    keep: list[nn.Parameter] = []
    for parameter in model.parameters():
        matrix = len(full_shape(parameter)) >= 2 and id(parameter) not in embeddings
        (decay if matrix else keep).append(parameter)
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": keep, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def count_parameters(model: nn.Module) -> int:
    """The number of weights of the whole model, whatever this rank holds of it."""
    return sum(math.prod(full_shape(parameter)) for parameter in model.parameters())


def full_shape(parameter: nn.Parameter) -> torch.Size:
    """The shape of the whole weight, whatever this rank holds of it."""
    return getattr(parameter, "ds_shape", parameter.shape)
