"""zeta.nn.FlashAttention, and how the package loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import zeta
from zeta import _library
from zeta.nn import FlashAttention


def test_founding_snippet():
    from zeta.nn import FlashAttention

    attention = FlashAttention(embed_dim=512, num_heads=8, causal=True)
    assert attention(torch.randn(2, 7, 512)).shape == (2, 7, 512)
    assert zeta.__version__ >= "0.8.2"


@pytest.mark.parametrize("cross", [False, True])
def test_equals_torch_multihead_attention(cross, device):
    torch.manual_seed(3)
    options = {"dtype": torch.float64, "device": device}
    ours = FlashAttention(24, 4, **options)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True, **options)
    theirs.load_state_dict(zeta.nn.to_multihead_attention(ours.state_dict()))
    again = FlashAttention(24, 4, **options)
    again.load_state_dict(zeta.nn.from_multihead_attention(theirs.state_dict()))
    for name, t in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], t)
    query = torch.randn(2, 5, 24, **options)
    key, value = (torch.randn(2, 9, 24, **options) for _ in range(2)) if cross else (query, query)
    allowed = torch.rand(5, key.shape[1], device=device) < 0.8
    want, _ = theirs(query, key, value, attn_mask=~allowed)
    got = ours(query, key, value, allowed) if cross else ours(query, mask=allowed)
    torch.testing.assert_close(got, want)  # float64: far below the default 1e-7


def test_what_multihead_attention_has_not_is_named():
    grouped, plain = FlashAttention(24, 4, num_kv_heads=2), nn.MultiheadAttention(24, 4, kdim=12, vdim=12)
    with pytest.raises(ValueError, match=r"as many key heads as query heads, got .*'k_proj': \(12, 24\)"):
        zeta.nn.to_multihead_attention(grouped.state_dict())
    with pytest.raises(ValueError, match="without bias_kv, got .*'k_proj_weight'"):
        zeta.nn.from_multihead_attention(plain.state_dict())
    with pytest.raises(ValueError, match="expected in_proj_weight and out_proj.weight, got"):
        zeta.nn.from_multihead_attention({})
    with pytest.raises(ValueError, match="of nn.Linear, got"):
        zeta.nn.to_multihead_attention({})


@pytest.mark.parametrize("chunks", [(9,), (1,) * 9, (4, 1, 1, 3)])
@pytest.mark.parametrize("options", [{}, dict(rotary=100.0, num_kv_heads=2), dict(window=(3, -1))], ids=str)
def test_a_cache_gives_what_the_whole_sequence_gives(chunks, options, device):
    torch.manual_seed(8)
    place = {"dtype": torch.float64, "device": device}
    attention = FlashAttention(32, 4, causal=True, **options, **place).eval()
    x = torch.randn(2, 9, 32, **place)
    cache = attention.make_cache(2, 9, **place)
    with torch.no_grad():
        parts = [attention(piece, cache=cache) for piece in x.split(chunks, 1)]
        torch.testing.assert_close(torch.cat(parts, 1), attention(x))  # float64: far below the default 1e-7
    assert cache.length == 9
    with pytest.raises(ValueError, match="at most 9 positions in the cache, got 10"), torch.no_grad():
        attention(x[:, :1], cache=cache)
    with pytest.raises(ValueError, match=r"under torch\.no_grad\(\)"):
        attention(x[:, :1], cache=attention.make_cache(2, 9, **place))


def test_rotary_scores_depend_on_distance_alone():
    from zeta.nn.rotary import rotate

    q, k = torch.randn(2, 1, 1, 3, 16, dtype=torch.float64)
    near, far = ((rotate(q, first + 5, 50.0) * rotate(k, first, 50.0)).sum(-1) for first in (0, 1000))
    torch.testing.assert_close(near, far)
    assert not torch.allclose((q * k).sum(-1), near)


def test_dropout_and_window_reach_the_formula():
    torch.manual_seed(9)
    x = torch.randn(1, 12, 32)
    attention = FlashAttention(32, 4, dropout=0.5, window=(2, 0))
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    allowed = torch.ones(12, 12, dtype=torch.bool).tril().triu(-2)
    plain = FlashAttention(32, 4)
    plain.load_state_dict(attention.state_dict())
    torch.testing.assert_close(attention(x), plain(x, mask=allowed))
    assert "dropout=0.5, window=(2, 0)" in repr(attention)


def test_options_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="0 ≤ dropout < 1, got 1"):
        FlashAttention(32, 4, dropout=1.0)
    with pytest.raises(ValueError, match="an even head_dim, got rotary=100.0, 5"):
        FlashAttention(20, 4, rotary=100.0)
    x = torch.randn(1, 3, 32)
    with pytest.raises(ValueError, match="expected no key with rotary or a cache"):
        FlashAttention(32, 4, rotary=100.0)(x, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_causal_reads_no_future(dtype, device):
    torch.manual_seed(4)
    options = {"dtype": dtype, "device": device}
    attention = FlashAttention(32, 4, causal=True, num_kv_heads=2, **options)
    x = torch.randn(1, 10, 32, **options)
    changed = torch.cat([x[:, :6], torch.randn(1, 4, 32, **options)], 1)
    torch.testing.assert_close(attention(x)[:, :6], attention(changed)[:, :6], rtol=0, atol=0)
    assert not torch.equal(attention(x)[:, 6:], attention(changed)[:, 6:])


def test_state_dict_round_trip():
    first, second = (FlashAttention(32, 4, num_kv_heads=1, bias=False) for _ in range(2))
    assert {name: tuple(t.shape) for name, t in first.state_dict().items()} == {
        "q_proj.weight": (32, 32),
        "k_proj.weight": (8, 32),
        "v_proj.weight": (8, 32),
        "out_proj.weight": (32, 32),
    }
    second.load_state_dict(first.state_dict())
    x = torch.randn(1, 3, 32)
    assert torch.equal(first(x), second(x))


def test_linear_makes_the_projections():
    made = []

    def linear(inputs, outputs, **options):
        made.append((inputs, outputs, options))
        return nn.Linear(inputs, outputs, **options)

    FlashAttention(32, 4, num_kv_heads=2, bias=False, linear=linear, dtype=torch.bfloat16)
    options = {"bias": False, "device": None, "dtype": torch.bfloat16}
    assert made == [(32, 32, options), (32, 16, options), (32, 16, options), (32, 32, options)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((512, 7), "expected num_heads that divides embed_dim=512, got 7"),
        ((512, 0), "expected num_heads that divides embed_dim=512, got 0"),
        ((512, 8, False, 3), "expected num_kv_heads that divides num_heads=8, got 3"),
        ((640, 2), "expected head_dim ≤ 256, got embed_dim / num_heads = 320"),
    ],
)
def test_bad_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlashAttention(*arguments)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"expected key of shape \(batch, seq, 32\), got \(1, 3, 31\)"):
        FlashAttention(32, 4)(torch.randn(1, 3, 32), torch.randn(1, 3, 31))


def test_import_of_the_package_is_light():
    code = "import sys, zeta; assert 'torch' not in sys.modules; assert zeta.nn.FlashAttention"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_part_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'zeta' has no attribute 'no_such_part'"):
        _ = zeta.no_such_part


def _library_folder() -> Path:
    return Path(os.environ.get("ZETA_LIBRARY_DIR") or Path(_library.__file__).parent / "lib")


def test_missing_library_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ZETA_LIBRARY_DIR", str(tmp_path))
    with pytest.raises(ImportError, match=f"{tmp_path}/libzeta_ops.so not found"):
        _library.load.__wrapped__()


def test_broken_library_is_named(monkeypatch, tmp_path):
    (tmp_path / "libzeta_ops.so").write_bytes(b"\x7fELF, but cut off")
    monkeypatch.setenv("ZETA_LIBRARY_DIR", str(tmp_path))
    with pytest.raises(ImportError, match=r"libzeta_ops\.so does not load with torch"):
        _library.load.__wrapped__()


def test_cuda_library_is_loaded_only_with_a_gpu(monkeypatch, tmp_path):
    (tmp_path / "libzeta_ops.so").symlink_to(_library_folder() / "libzeta_ops.so")
    (tmp_path / "libzeta_ops_cuda.so").write_bytes(b"\x7fELF, but cut off")
    monkeypatch.setenv("ZETA_LIBRARY_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _library.load.__wrapped__()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ImportError, match=r"libzeta_ops_cuda\.so does not load with torch .* for CUDA"):
        _library.load.__wrapped__()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")
def test_cuda_library_brings_its_kernel():
    assert (_library_folder() / "libzeta_ops_cuda.so").is_file(), "tools/setup builds it where there is a GPU"
    assert torch._C._dispatch_has_kernel_for_dispatch_key("zeta::packed_linear", "CUDA")


def test_library_for_another_torch_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.3.4+cpu")
    with pytest.raises(
        ImportError, match=r"was built for torch \d.*, and this is torch 2.3.4: install torch=="
    ):
        _library.load.__wrapped__()
