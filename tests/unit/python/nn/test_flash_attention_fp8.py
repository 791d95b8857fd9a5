"""flash_attention of float8_e4m3fn operands against float64 of the dequantised ones, and their quantiser."""

import dataclasses
import math

import pytest
import torch

from zeta.nn.functional import flash_attention
from zeta.quant import quantize_attention

FLOAT8 = torch.float8_e4m3fn
op = torch.ops.zeta.flash_attention_fp8.default


@dataclasses.dataclass(frozen=True)
class Case:
    batch: int = 2
    seq_q: int = 70
    seq_k: int = 140
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 128
    value_dim: int = 128
    causal: bool = False
    outliers: bool = False

    def operands(self, device):
        """Normal numbers, or a few of them 30 times as large, quantised; strides as transposed from heads first."""
        generator = torch.Generator().manual_seed(7)

        def draw(seq, heads, dim):
            x = torch.randn(self.batch, heads, seq, dim, generator=generator)
            if self.outliers:
                x = torch.where(torch.rand(x.shape, generator=generator) < 0.002, 30 * x, x)
            return x.to(device).transpose(1, 2)

        quantized = quantize_attention(
            draw(self.seq_q, self.heads, self.head_dim),
            draw(self.seq_k, self.kv_heads, self.head_dim),
            draw(self.seq_k, self.kv_heads, self.value_dim),
        )
        strided = [codes.transpose(1, 2).contiguous().transpose(1, 2) for codes in quantized[:3]]
        return strided, list(quantized[3:])


CASES = {
    "tiles exactly": Case(seq_q=256, seq_k=384),
    "causal": Case(seq_q=300, seq_k=437, causal=True),
    "rows that see nothing": Case(seq_q=437, seq_k=130, kv_heads=1, causal=True),
    "short heads": Case(seq_q=193, seq_k=257, kv_heads=4, head_dim=64, value_dim=64),
    "short heads, causal": Case(seq_q=400, seq_k=400, head_dim=64, value_dim=64, causal=True),
    "sums put aside": Case(batch=1, seq_q=200, seq_k=5000, heads=2, kv_heads=1),
    "sums put aside, short heads": Case(batch=1, seq_q=200, seq_k=5000, heads=2, head_dim=64, value_dim=64),
    "sums put aside, causal": Case(batch=1, seq_q=2100, seq_k=3000, heads=2, kv_heads=1, causal=True),
    "many turns": Case(batch=24, heads=12, kv_heads=6, seq_q=150, seq_k=390, causal=True),
    "unequal dims": Case(head_dim=48, value_dim=80),
    "dims that fill no 16 bytes": Case(head_dim=37, value_dim=5, causal=True),
    "wide heads": Case(head_dim=256, value_dim=160),
    "one": Case(batch=1, seq_q=1, seq_k=1, heads=1, kv_heads=1),
    "one query": Case(seq_q=1, causal=True),
    "no queries": Case(seq_q=0),
    "no keys": Case(seq_k=0),
    "no batch": Case(batch=0),
}


def exact(operands, descales, causal, softmax_scale=None):
    """Out, lse and probabilities of the dequantised operands in float64, and their values a query head.

    On the operands' device: these cases are larger than what a CPU does in no time."""
    group = operands[0].shape[2] // operands[1].shape[2]
    q, k, v = (
        (t.double() * d.double().repeat_interleave(t.shape[2] // d.shape[1], 1)[:, None, :, None]).transpose(
            1, 2
        )
        for t, d in zip(operands, descales, strict=True)
    )
    k, v = (t.repeat_interleave(group, 1) for t in (k, v))
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale)
    if causal:
        seq_q, seq_k = scores.shape[-2:]
        seen = torch.ones(seq_q, seq_k, dtype=torch.bool, device=q.device).tril(seq_k - seq_q)
        scores = scores.masked_fill(~seen, -torch.inf)
    dead = (scores == -torch.inf).all(-1, keepdim=True)
    scores = scores.masked_fill(dead, 0)
    lse = scores.logsumexp(-1).masked_fill(dead[..., 0], -torch.inf)
    p = scores.softmax(-1).masked_fill(dead, 0)
    return (p @ v).transpose(1, 2), lse, p, v


def rounds_probabilities(case, device):
    """Whether Hopper's kernel runs."""
    return (
        device == "cuda"
        and torch.cuda.get_device_capability() == (9, 0)
        and max(case.head_dim, case.value_dim) <= 128
    )


def score_bound(case, operands, descales):
    """How far a score may be off: sums of products of 8 bits, 32 at a time.

    The tensor cores drop of each of the 32 and of the sum so far what lies below 2⁻¹³ of the largest of them, which is
    at most the sum of all magnitudes. In float32 the same holds with 2⁻²⁴ of each sum.
    """
    q, k = (t.double().abs() for t in operands[:2])
    if q.numel() == 0 or k.numel() == 0:
        return 0.0
    scale = max((d * e).max().item() for d, e in zip(*descales[:2], strict=True))
    group = q.shape[2] // k.shape[2]
    sums = q.transpose(1, 2) @ k.transpose(1, 2).repeat_interleave(group, 1).mT
    return (case.head_dim + case.head_dim / 32) * 2.0**-13 * sums.max().item() * scale * case.head_dim**-0.5


@pytest.mark.parametrize("outliers", [False, True], ids=["normal", "outliers"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_formula(case, outliers, device):
    case = dataclasses.replace(case, outliers=outliers)
    operands, descales = case.operands(device)
    out, lse = flash_attention(
        *operands, q_descale=descales[0], k_descale=descales[1], v_descale=descales[2], causal=case.causal,
        return_lse=True,
    )  # fmt: skip
    assert out.dtype == torch.bfloat16 and lse.dtype == torch.float32
    want, want_lse, p, values = exact(operands, descales, case.causal)
    assert out.shape == want.shape and lse.shape == want_lse.shape
    if not want.numel():
        return
    rounded = rounds_probabilities(case, device)
    of_score = score_bound(case, operands, descales) * (1 if rounded else 2.0**-11)
    torch.testing.assert_close(lse.double(), want_lse, rtol=2**-22, atol=of_score + (case.seq_k + 8) * 2**-24)
    if case.seq_k == 0:
        assert not out.any()
        return
    # Magnitudes of what is summed, which errors of scores and of probabilities are relative to. A probability in e4m3
    # is off by 2⁻⁴ of itself, or by half of 2⁻⁹ where the row's greatest is at least 2⁷. Of a sum of 1024 keys, 32 at
    # a time, the tensor cores drop 2⁻¹³ of the largest term each time, of each of 33 terms.
    mass = (p @ values.abs()).transpose(1, 2)
    atol = (2 * of_score + (case.seq_k + 8) * 2**-23) * mass + 2**-120  # where probabilities underflow
    if rounded:
        floor = (p.amax(-1, keepdim=True) * values.abs().sum(2, keepdim=True)).transpose(1, 2)
        atol = atol + (2**-4 + min(case.seq_k / 32 + 1, 32) * 33 * 2**-13) * mass + 2**-17 * floor
    error = out.double() - want
    assert (error.abs() <= atol + 2**-8 * want.abs()).all(), (error.abs() / atol).max()
    # As a whole, errors of rounding are independent, and of a uniform distribution within the largest.
    relative = (error.norm() / want.norm()).item()
    assert relative <= (2**-4 / math.sqrt(3) if rounded else 2**-9) + 2 * min(of_score, 2**-7), relative


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("step", [0.005, -0.005, 0.08, -0.08, 2.0])
def test_greatest_score_may_climb_slowly_or_leap(step, head_dim, device):
    """What rows are relative to follows their greatest score late: keys whose scores rise by `step` each."""
    generator = torch.Generator().manual_seed(0)
    case = Case(batch=1, seq_q=130, seq_k=1300, heads=2, head_dim=head_dim, value_dim=head_dim)
    q, k, v = (
        torch.randn(1, n, 2, head_dim, generator=generator) for n in (case.seq_q, case.seq_k, case.seq_k)
    )
    q[..., 0] = 8  # and scores are divided by 8
    k[..., 0] = (torch.arange(case.seq_k) - case.seq_k // 2)[:, None] * step
    operands = [t.to(device) for t in (q, k, v)]
    *operands, q_descale, k_descale, v_descale = quantize_attention(*operands)
    descales = [q_descale, k_descale, v_descale]
    out, lse = flash_attention(
        *operands, q_descale=q_descale, k_descale=k_descale, v_descale=v_descale, softmax_scale=1 / 8,
        return_lse=True,
    )  # fmt: skip
    want, want_lse, p, values = exact(operands, descales, False, 1 / 8)
    of_score = score_bound(case, operands, descales) * head_dim**0.5 / 8
    torch.testing.assert_close(lse.double(), want_lse, rtol=2**-22, atol=of_score + 2**-13)
    mass = (p @ values.abs()).transpose(1, 2)
    error = (out.double() - want).abs()
    # As above; a row's greatest probability has one of 2⁷ at least.
    atol = (2 * of_score + 2**-4 + 33 * 33 * 2**-13) * mass + 2**-8 * want.abs()
    assert (error <= atol + 2**-17 * p.amax() * values.abs().sum(2, keepdim=True).transpose(1, 2)).all()


@pytest.mark.parametrize("head_dim", [64, 128])
def test_long_sums_keep_their_mean(head_dim, device):
    """Values of 1 come out as 1, though the tensor cores cut off what lies below their sum's 13 bits: they add up 1024
    keys, 32 at a time, by themselves, and lose less than 2⁻⁷ with them; bfloat16 has 2⁻⁸ below 1."""
    case = Case(batch=1, seq_q=128, seq_k=16384 if device == "cuda" else 2048, heads=1, kv_heads=1,
                head_dim=head_dim, value_dim=head_dim)  # fmt: skip
    (q, k, v), (q_descale, k_descale, _) = case.operands(device)
    ones = torch.ones_like(v, dtype=torch.float32).to(FLOAT8)
    out = flash_attention(q, k, ones, q_descale=q_descale, k_descale=k_descale).double()
    assert (out - 1).abs().max().item() <= 2**-7 + 2**-9


def test_descales_that_are_not_given_are_1(device):
    (q, k, v), _ = Case(seq_q=33, seq_k=33).operands(device)
    ones = torch.ones(2, 2, device=device)
    plain, lse = flash_attention(q, k, v, softmax_scale=1e-5, return_lse=True)
    given, given_lse = flash_attention(
        q, k, v, softmax_scale=1e-5, q_descale=ones, k_descale=ones[:1], v_descale=ones[0, 0], return_lse=True
    )
    assert torch.equal(plain, given) and torch.equal(lse, given_lse)


@pytest.mark.parametrize("which", ["q_descale", "k_descale", "v_descale"])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_a_descale_that_is_not_positive_gives_nan(which, bad, device):
    (q, k, v), _ = Case().operands(device)
    descale = torch.full((2, 2), 0.01, device=device)
    descale[1, 0] = bad
    out = flash_attention(q, k, v, **{which: descale})
    heads = out.isnan().all(3).all(1)
    assert heads.tolist() == [[False] * 4, [True, True, False, False]]
    assert not out[0].isnan().any() and not out[1, :, 2:].isnan().any()


def test_nan_stays_in_its_column(device):
    (q, k, v), _ = Case(seq_q=200, seq_k=200).operands(device)
    v = v.float()
    v[0, 150, 0, 3] = math.nan
    where = flash_attention(q, k, v.to(FLOAT8), softmax_scale=1e-5).isnan()
    assert where[0, :, :2, 3].all() and where.sum() == 200 * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")
def test_hopper_runs_our_kernel_where_it_computes_what_is_asked_for():
    if torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("no Hopper GPU")

    def kernels(case, **options):
        operands, _ = case.operands("cuda")
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            flash_attention(*operands, **options)
            torch.cuda.synchronize()
        return any("float8_forward_kernel" in event.key for event in profile.key_averages())

    for case in CASES.values():
        some = case.batch * case.seq_q * case.seq_k > 0
        assert kernels(case) == (some and max(case.head_dim, case.value_dim) <= 128), case
    assert not kernels(Case(), softmax_scale=-1.0)


def error_of(call, kind):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value).split("\n")[0]


def test_bad_arguments_are_named(device):
    (q, k, v), (descale, *_) = Case().operands(device)
    half = v.to(torch.bfloat16)
    assert "expected v of q's dtype" in error_of(lambda: flash_attention(q, k, half), TypeError)
    message = error_of(lambda: flash_attention(q, k, v, q_descale=descale.double()), TypeError)
    assert "expected q_descale of float32, got" in message
    message = error_of(lambda: flash_attention(q, k, v, k_descale=descale[:, :1].expand(2, 3)), ValueError)
    assert "expected k_descale that broadcasts to (batch, num_kv_heads) = [2, 2], got [2, 3]" in message
    message = error_of(lambda: flash_attention(half, half, half, v_descale=descale), TypeError)
    assert "expected v_descale only with q of float8_e4m3fn, got torch.bfloat16" in message
    message = error_of(lambda: op(half, half, half, None, None, None, 1.0, False), TypeError)
    assert "expected q of float8_e4m3fn" in message
    assert "num_kv_heads that divides num_heads = 4, got 3" in error_of(
        lambda: flash_attention(q, k[:, :, :1].expand(-1, -1, 3, -1), v[:, :, :1].expand(-1, -1, 3, -1)),
        ValueError,
    )
    options = {
        "mask": torch.ones(1, 1, dtype=torch.bool, device=device), "window": (3, 0), "softcap": 2.0,
        "bias": torch.zeros(1, 1, device=device), "alibi_slopes": torch.ones(4, device=device),
        "sinks": torch.zeros(4, device=device), "dropout_p": 0.5,
    }  # fmt: skip
    for name, option in options.items():
        message = error_of(lambda n=name, o=option: flash_attention(q, k, v, **{n: o}), ValueError)
        assert message == f"flash_attention: expected no {name} with q of float8_e4m3fn"


def test_gradients_are_refused_by_name(device):
    (q, k, v), (descale, *_) = Case().operands(device)
    wanting = descale.clone().requires_grad_()
    message = error_of(lambda: flash_attention(q, k, v, k_descale=wanting), NotImplementedError)
    assert "flash_attention: float8 is for inference only, got k_descale that requires grad" in message
    with torch.no_grad():
        flash_attention(q, k, v, k_descale=wanting)
    x = torch.randn(1, 4, 2, 16, device=device, requires_grad=True)
    message = error_of(lambda: quantize_attention(x, x, x), NotImplementedError)
    assert "quantize_attention: float8 is for inference only, got q that requires grad" in message


def test_vmap_is_refused_by_name(device):
    (q, k, v), _ = Case().operands(device)
    with pytest.raises(NotImplementedError, match="zeta::flash_attention_fp8: torch.func.vmap"):
        torch.func.vmap(lambda q, k, v: flash_attention(q, k, v))(q[None], k[None], v[None])


@pytest.mark.parametrize(
    "case", [Case(seq_q=5, seq_k=7), Case(seq_q=5, seq_k=7, head_dim=20, value_dim=24, causal=True)]
)
def test_opcheck(case, device):
    operands, descales = case.operands(device)
    # test_schema does sums with the operands, which torch cannot do in float8.
    tests = ("test_faketensor", "test_autograd_registration")
    torch.library.opcheck(op, (*operands, *descales, 0.1, case.causal), test_utils=tests)
    floats = [t.float() for t in operands]
    torch.library.opcheck(torch.ops.zeta.quantize_attention.default, tuple(floats), test_utils=tests)


def test_compiles_whole(device):
    case = Case(seq_q=33, seq_k=47, causal=True)
    operands = [t.float() for t in case.operands(device)[0]]

    def both(q, k, v):
        return flash_attention(**quantize_attention(q, k, v)._asdict(), causal=True)

    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*operands), both(*operands))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "sizes", [(2, 300, 437, 4, 2, 128, 64), (1, 33, 20, 3, 3, 20, 24), (1, 9, 7, 2, 1, 5, 3)], ids=str
)
def test_quantizes_with_a_scale_a_kv_head(sizes, dtype, device):
    batch, seq_q, seq_k, heads, kv_heads, dim, value_dim = sizes
    generator = torch.Generator().manual_seed(3)

    def draw(seq, heads, dim):  # heads first, so that rows do not lie together
        x = torch.randn(batch, heads, seq, dim, generator=generator) * torch.rand(
            heads, 1, 1, generator=generator
        )
        return x.to(device, dtype).transpose(1, 2)

    tensors = [draw(seq_q, heads, dim), draw(seq_k, kv_heads, dim), draw(seq_k, kv_heads, value_dim)]
    quantized = quantize_attention(*tensors)
    for x, codes, descale in zip(tensors, quantized[:3], quantized[3:], strict=True):
        assert codes.dtype == FLOAT8 and codes.shape == x.shape
        x, codes = x.float().cpu(), codes.float().cpu()
        grouped = x.unflatten(2, (kv_heads, -1))
        greatest = grouped.abs().amax((1, 3, 4))
        assert torch.equal(descale.cpu(), greatest / torch.tensor(448.0))
        factor = descale.cpu()[:, None, :, None, None]
        want = (grouped / factor).clamp(-448, 448).to(FLOAT8).float().reshape(x.shape)
        assert torch.equal(codes, want)


def test_quantizes_what_is_0_and_what_is_not_finite(device):
    x = torch.zeros(1, 3, 2, 16, device=device)
    x[0, 1, 1, 5] = math.nan
    q = quantize_attention(x, x, x)
    assert q.q_descale[0, 0] == 2.0**-126 and q.q_descale[0, 1].isnan()
    assert not q.q[:, :, 0].float().any() and q.q[:, :, 1].float().isnan().all()
    out = flash_attention(**q._asdict())
    assert not out[:, :, 0].any() and out[:, :, 1].isnan().all()
