"""The packed forms of one layer: exact both ways, and refused by the layer's name where they do not fit."""

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from transformers.integrations.bitnet import pack_weights

from zeta.export import ExportError
from zeta.export.eight_bits import EightBits
from zeta.export.form import Form
from zeta.export.int4 import Int4, W4A8Int4
from zeta.export.ternary import Ternary
from zeta.quant import quantize_weight


def weight(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(24, 64, generator=torch.Generator().manual_seed(0)).mul(0.05).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "form, precision",
    [
        (Ternary(), "1.58bit"),
        (Int4(16), "4bit"),
        (W4A8Int4(16), "w4a8"),
        (EightBits("int"), "8bit"),
        (EightBits("float"), "fp8"),
    ],
)
def test_decode_undoes_encode(form: Form, precision: str, dtype: torch.dtype) -> None:
    codes, scale = quantize_weight(weight(dtype), precision, 16)
    tensors = form.encode(codes, scale, dtype)
    assert tuple(tensors) == form.suffixes
    decoded = form.decode(tensors)
    assert torch.equal(decoded[0].float(), codes.float()) and torch.equal(decoded[1], scale)


def test_ternary_is_what_transformers_packs() -> None:
    codes, scale = quantize_weight(weight(), "1.58bit")
    tensors = Ternary().encode(codes, scale, torch.float32)
    assert torch.equal(tensors["weight"], pack_weights(codes.clone()))
    torch.testing.assert_close(tensors["weight_scale"], weight().abs().mean().reshape(1))  # β itself, not 1/β


def test_int4_is_what_compressed_tensors_unpacks() -> None:
    codes, scale = quantize_weight(weight(), "4bit", 16)
    tensors = Int4(16).encode(codes, scale, torch.float32)
    assert torch.equal(unpack_from_int32(tensors["weight_packed"], 4, torch.Size([24, 64])), codes)
    assert tensors["weight_scale"].dtype == torch.bfloat16 and tensors["weight_scale"].shape == (24, 4)
    assert tensors["weight_shape"].tolist() == [24, 64]


@pytest.mark.parametrize("out_features", [6, 130, 4])
def test_ternary_names_the_layer_that_does_not_fit(out_features: int) -> None:
    with pytest.raises(ExportError, match=f"layers.0.q_proj: .*multiple of 4.*got {out_features}"):
        Ternary().check("layers.0.q_proj", torch.Size([out_features, 64]), has_bias=False)


def test_ternary_refuses_a_bias() -> None:
    with pytest.raises(ExportError, match="layers.0.q_proj: has a bias"):
        Ternary().check("layers.0.q_proj", torch.Size([8, 64]), has_bias=True)


@pytest.mark.parametrize("group_size, in_features", [(128, 192), (12, 24), (0, 8), (-8, 8)])
def test_int4_names_the_layer_that_does_not_fit(group_size: int, in_features: int) -> None:
    with pytest.raises(ExportError, match="layers.0.q_proj: expected .*group_size"):
        Int4(group_size).check("layers.0.q_proj", torch.Size([8, in_features]), has_bias=True)
