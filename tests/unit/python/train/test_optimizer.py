"""The section `optimizer` of a DeepSpeed file."""

from typing import Any

import pytest
import torch

from zeta.train import TrainError
from zeta.train.optimizer import check_optimizer


def check(optimizer: dict[str, Any], allows_untested: bool = False) -> None:
    check_optimizer({"params": {}} | optimizer, allows_untested)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"type": "AdmaW"}, "no optimizer.type 'AdmaW'; did you mean AdamW?"),
        ({"type": "lr_scheduler"}, "no optimizer.type 'lr_scheduler'"),
        ({"params": {"lr": 0.1}}, "no optimizer.type None"),
        ({"type": ["Adam"]}, r"no optimizer.type \['Adam'\]"),
        ({"typ": "AdamW"}, "no key 'typ'; did you mean type?"),
        ({"type": "AdamW", "params": {"weight_deccay": 0.1}}, "'weight_deccay'; did you mean weight_decay?"),
        ({"type": "AdamW", "params": {"params": []}}, "optimizer.params has no key 'params'"),
        ({"type": "Adam", "params": {"torch_adam": True, "bias_correction": True}}, "'bias_correction'"),
        ({"type": "Adam", "params": {"torch_adam": False, "fused": True}}, "'fused'"),
        ({"type": "Lion", "params": {"eps": 1e-8}}, "'eps'"),
        ({"type": "Muon", "params": {"moun_lr": 0.1}}, "'moun_lr'; did you mean muon_lr?"),
        ({"type": "AdamW", "params": {"lr": "1e-3"}}, "params.lr must be a value such as 0.001, got '1e-3'"),
        ({"type": "AdamW", "params": {"lr": True}}, "params.lr .* got True"),
        ({"type": "AdamW", "params": {"lr": None}}, "params.lr .* got None"),
        ({"type": "AdamW", "params": {"lr": -1}}, "params.lr .* got -1"),
        ({"type": "AdamW", "params": {"lr": float("nan")}}, "params.lr .* got nan"),
        ({"type": "AdamW", "params": {"betas": 0.9}}, r"params.betas .* such as \(0.9, 0.999\), got 0.9"),
        ({"type": "AdamW", "params": {"betas": [0.9]}}, "params.betas"),
        ({"type": "AdamW", "params": {"betas": [0.9, "x"]}}, "params.betas"),
        ({"type": "AdamW", "params": {"amsgrad": 1}}, "params.amsgrad .* such as False, got 1"),
        ({"type": "SGD"}, "SGD is not tested under ZeRO: zero_allow_untested_optimizer"),
    ],
)
def test_names_what_the_optimizer_does_not_take(optimizer: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainError, match=message):
        check(optimizer)


@pytest.mark.parametrize(
    "optimizer",
    [
        {
            "type": "AdamW",
            "params": {"torch_adam": True, "betas": [0.9, 0.95], "fused": None, "foreach": True},
        },
        {"type": "adam", "params": {"adam_w_mode": False, "bias_correction": True, "lr": 1}},
        {"type": "Muon", "params": {"muon_lr": 0.02, "adam_lr": 1e-3, "momentum": 0.95}},
        {"type": "Lion", "params": {"weight_decay": 0.1}, "legacy_fusion": False},
        {"type": "Adagrad"},
    ],
)
def test_accepts_what_deepspeed_runs_under_zero(optimizer: dict[str, Any]) -> None:
    check(optimizer)


@pytest.mark.parametrize(
    "type_", [name for name in dir(torch.optim) if name[0].isupper() and name != "Optimizer"]
)
def test_accepts_the_defaults_of_pytorchs_optimizers(type_: str) -> None:
    check({"type": type_}, allows_untested=True)


def test_sgd_may_be_allowed() -> None:
    check({"type": "SGD", "params": {"momentum": 0.9, "nesterov": True}}, allows_untested=True)
