"""Packed layouts against the libraries that define them."""

from __future__ import annotations

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from transformers.integrations.bitnet import pack_weights

from zeta.quant import pack_int4, pack_ternary, unpack_int4, unpack_ternary


def random_codes(low: int, high: int, shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int8)


@pytest.mark.parametrize("shape", [(4, 1), (8, 33), (64, 40), (0, 5)])
def test_ternary_layout_is_transformers(shape: tuple[int, int]) -> None:
    codes = random_codes(-1, 1, shape)
    packed = pack_ternary(codes)
    assert torch.equal(unpack_ternary(packed), codes)
    if shape[0]:
        assert torch.equal(packed, pack_weights(codes.clone()))


@pytest.mark.parametrize("shape", [(1, 8), (3, 24), (64, 128), (0, 8)])
def test_int4_layout_is_compressed_tensors(shape: tuple[int, int]) -> None:
    codes = random_codes(-8, 7, shape)
    packed = pack_int4(codes)
    assert torch.equal(unpack_int4(packed), codes)
    if shape[0]:
        assert torch.equal(packed, pack_to_int32(codes, num_bits=4))
        assert torch.equal(unpack_from_int32(packed, 4, torch.Size(shape)), codes)


def test_strided_codes_and_packed_weights() -> None:
    codes = random_codes(-8, 7, (24, 16)).T
    packed = pack_int4(codes)
    assert torch.equal(packed, pack_int4(codes.contiguous()))
    assert torch.equal(unpack_int4(packed.T.contiguous().T), codes)


def test_bad_codes_are_named() -> None:
    with pytest.raises(ValueError, match="multiple of 4 .*got 6"):
        pack_ternary(torch.zeros(6, 8, dtype=torch.int8))
    with pytest.raises(ValueError, match="multiple of 8 .*got 12"):
        pack_int4(torch.zeros(4, 12, dtype=torch.int8))
    with pytest.raises(ValueError, match=r"expected codes in \[-1, 1\], got \[0, 2\]"):
        pack_ternary(torch.tensor([[0], [1], [2], [0]], dtype=torch.int8))
    with pytest.raises(ValueError, match="torch.int8 of 2 dimensions, got torch.float32"):
        pack_int4(torch.zeros(4, 8))
    with pytest.raises(ValueError, match="torch.uint8 of 2 dimensions, got torch.int8"):
        unpack_ternary(torch.zeros(4, 8, dtype=torch.int8))
