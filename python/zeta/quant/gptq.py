"""GPTQ: rounding a weight column by column, each error made good by the columns that are left.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", arXiv
2210.17323.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeta.quant.precision import INT4
from zeta.quant.weight import quantize_weight

_BLOCK = 128
_MOST_DAMPING = 1.0


def gptq(
    weight: Tensor, hessian: Tensor, group_size: int, percdamp: float = 0.01, act_order: bool = False
) -> tuple[Tensor, Tensor]:
    """Quantise a weight to 4 bits so that its output over the calibration data changes least.

    Args:
        weight: `(N, K)`, floating point, finite.
        hessian: float32 `(K, K)`: Σ x·xᵀ over the inputs x that the layer saw; its scale does not matter.
        group_size: input features that share a scale; divides K.
        percdamp: share of the mean of the Hessian's diagonal that is added to the diagonal. It is raised tenfold,
            up to 1, while the Hessian cannot be factored.
        act_order: take columns by falling diagonal, with scales fixed beforehand, rather than from the left with
            each group's scale from its columns as they are when its turn comes. The result is stored alike.
    Returns:
        codes int8 `(N, K)` and scale float32 `(N, K/group_size)`, as of `quantize_weight(weight, "4bit")`.
    Raises:
        ValueError: the Hessian is not finite, or cannot be factored with the largest damping either.
    """
    if not hessian.isfinite().all():
        raise ValueError("the calibration data gave inputs that are not finite")
    order = hessian.diagonal().argsort(descending=True) if act_order else torch.arange(len(hessian))
    order = order.to(weight.device)
    groups = (order // group_size).tolist()
    inverse = _inverse_factor(hessian[order][:, order], percdamp)
    w = weight.float()
    scale = quantize_weight(w, INT4, group_size)[1]
    w = w[:, order].clone()
    codes = torch.empty(w.shape, dtype=torch.int8, device=w.device)
    width = max(_BLOCK // group_size, 1) * group_size
    for begin in range(0, w.shape[1], width):
        end = min(begin + width, w.shape[1])
        errors = torch.empty_like(w[:, begin:end])
        for column in range(begin, end):
            group = groups[column]
            if not act_order and column % group_size == 0:
                own = w[:, column : column + group_size]
                scale[:, group] = quantize_weight(own, INT4, group_size)[1].squeeze(1)
            sigma = scale[:, group]
            code = (w[:, column] / sigma).round().clamp(-8, 7)
            error = (w[:, column] - code * sigma) / inverse[column, column]
            w[:, column:end] -= torch.outer(error, inverse[column, column:end])
            codes[:, column], errors[:, column - begin] = code.to(torch.int8), error
        w[:, end:] -= errors @ inverse[begin:end, end:]
    return codes[:, order.argsort()], scale


def _inverse_factor(hessian: Tensor, percdamp: float) -> Tensor:
    """Upper triangular U with UᵀU = (H + damping)⁻¹; row i of U says how column i's error spreads."""
    mean = hessian.diagonal().mean().item() or 1.0  # all inputs were 0: any positive number
    while percdamp <= _MOST_DAMPING:
        damped = hessian.clone()
        damped.diagonal().add_(percdamp * mean)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(factor), upper=True)
            if not failed:
                return upper
        percdamp = max(10 * percdamp, 1e-4)
    raise ValueError("the calibration inputs' Hessian cannot be factored; raise percdamp")
