"""Options on Hopper's kernels: the sizes at which their tiles and walks change, against the formula in float64."""

import dataclasses

import hypothesis
import pytest
import torch
from attention_formula import attention
from hypothesis import strategies as st
from test_flash_attention_cuda import on_hopper
from test_flash_attention_options import SWEEP, Case, check, check_op, differentiable, formula_results
from test_flash_attention_varlen import Problem

from zeta.nn.functional import flash_attention

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")

ODD_DIMS = Case(causal=True, seq_q=150, seq_k=150, head_dim=20, value_dim=37)
# A tile is 128 queries × 128 keys (64 keys for heads above 128); a step of the backward 64 or 128 queries.
CASES = {
    "window over tiles": Case(window=(150, 40), seq_q=400, seq_k=500, head_dim=64, value_dim=64),
    "causal window": Case(
        causal=True, window=(129, -1), seq_q=700, seq_k=700, kv_heads=1, head_dim=128, value_dim=128
    ),
    "window before all keys": Case(window=(3, 0), seq_q=300, seq_k=140, head_dim=128, value_dim=128),
    "mask of pairs": Case(mask="bhqk", seq_q=257, seq_k=390, head_dim=64, value_dim=64),
    "mask of keys": Case(mask="b--k", causal=True, seq_q=300, seq_k=300, head_dim=128, value_dim=128),
    "mask of queries": Case(mask="-hq-", seq_q=200, seq_k=150, head_dim=64, value_dim=64),
    "bias of pairs": Case(bias="-hqk", seq_q=200, seq_k=330, head_dim=64, value_dim=64),
    "odd bias": Case(bias="b-qk", seq_q=131, seq_k=257, head_dim=128, value_dim=128),
    "wide bias": Case(bias="bhqk", wide=True, causal=True, seq_q=260, seq_k=260, head_dim=128, value_dim=128),
    "bias in pieces": Case(bias="bhqk", seq_q=150, seq_k=320, head_dim=64, value_dim=64),
    "wide bias in pieces": Case(bias="--qk", wide=True, seq_q=150, seq_k=320, head_dim=128, value_dim=128),
    "bias in pieces of 256": Case(bias="-hqk", seq_q=150, seq_k=200, head_dim=256, value_dim=256),
    "bias in pieces of batches": Case(
        batch=3, bias="-hqk", causal=True, seq_q=300, seq_k=328, head_dim=128, value_dim=128
    ),
    "bias in pieces of heads": Case(
        bias="b-qk", window=(100, 50), mask="b--k", seq_q=260, seq_k=456, head_dim=64, value_dim=64
    ),
    "bias in pieces, many turns": Case(
        batch=30, bias="-hqk", seq_q=150, seq_k=392, kv_heads=2, group=3, head_dim=64, value_dim=64
    ),
    "bias of keys": Case(bias="b--k", seq_q=300, seq_k=290, head_dim=64, value_dim=64),
    "bias of queries": Case(bias="-hq-", sinks=True, seq_q=300, seq_k=290, head_dim=64, value_dim=64),
    "bias of all": Case(bias="----", sinks=True, seq_q=150, seq_k=150, head_dim=64, value_dim=64),
    "softcap and bias": Case(softcap=0.7, scale=1.0, bias="--qk", seq_q=140, seq_k=140, head_dim=64, value_dim=64),
    "softcap": Case(softcap=2.0, causal=True, seq_q=300, seq_k=300, head_dim=128, value_dim=128),
    "alibi": Case(alibi="bh", causal=True, seq_q=290, seq_k=400, head_dim=64, value_dim=64),
    "sinks": Case(sinks=True, window=(64, 0), seq_q=300, seq_k=300, head_dim=64, value_dim=64),
    "dropout": Case(dropout_p=0.3, seq_q=201, seq_k=323, head_dim=64, value_dim=64),
    "dropout of 128": Case(dropout_p=0.1, causal=True, seq_q=260, seq_k=260, head_dim=128, value_dim=128),
    "negative scale": Case(scale=-0.25, seq_q=140, seq_k=140, head_dim=64, value_dim=64),
    "one query": Case(seq_q=1, seq_k=300, bias="bhqk", head_dim=64, value_dim=64),
    "256": Case(seq_q=200, seq_k=330, head_dim=256, value_dim=256),
    "192 and 128": Case(causal=True, seq_q=300, seq_k=300, head_dim=192, value_dim=128),
    "40 and 256": Case(seq_q=70, seq_k=140, head_dim=40, value_dim=256),
    "no multiple of 8": ODD_DIMS,
    "all": Case(
        causal=True, window=(140, -1), softcap=2.0, bias="-hqk", alibi="h", sinks=True, dropout_p=0.2, mask="b--k",
        seq_q=297, seq_k=410, head_dim=64, value_dim=64,
    ),
    "all of 128": Case(
        window=(200, 100), softcap=2.0, bias="b-qk", alibi="bh", sinks=True, dropout_p=0.2, mask="-hqk",
        seq_q=270, seq_k=265, head_dim=128, value_dim=104, group=3,
    ),
    "all of 256": Case(
        causal=True, window=(140, -1), softcap=2.0, bias="-hqk", alibi="h", sinks=True, dropout_p=0.2, mask="bhqk",
        seq_q=150, seq_k=210, head_dim=256, value_dim=200,
    ),
    # More tiles than any GPU has multiprocessors, so that a block takes several, with rings of buffers half-way.
    "many turns": Case(batch=40, kv_heads=2, group=3, window=(90, 30), seq_q=150, seq_k=390, sinks=True),
}  # fmt: skip
LONG = {
    "window": Case(batch=1, causal=True, window=(256, -1), seq_q=1500, seq_k=1500, head_dim=64, value_dim=64),
    "dropout": Case(batch=1, dropout_p=0.2, seq_q=900, seq_k=900, head_dim=128, value_dim=128),
}


def kernels(run) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    ours = ("forward_kernel", "backward_kernel", "forward_options_kernel", "backward_options_kernel")
    return {kernel for kernel in ours if any(kernel in event.key for event in profile.key_averages())}


def run_op(case, dtype, **more):
    inputs, grad_out, options = case.arguments(dtype, "cuda")
    out = flash_attention(*inputs, **options, **more)
    return [out, *torch.autograd.grad(out, differentiable(inputs, options), grad_out)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", [*CASES, *(f"long {name}" for name in LONG)])
def test_matches_formula(name, dtype):
    check_op(CASES[name] if name in CASES else LONG[name.removeprefix("long ")], dtype, "cuda")


SIZES = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 191, 193, 256, 300]))


@hypothesis.settings(max_examples=80, deadline=None, derandomize=True)
@hypothesis.given(
    case=SWEEP, seq_q=SIZES, seq_k=SIZES, dtype=st.sampled_from([torch.bfloat16, torch.float16])
)
def test_sweep(case, seq_q, seq_k, dtype):
    check_op(dataclasses.replace(case, seq_q=seq_q, seq_k=seq_k), dtype, "cuda")


@pytest.mark.parametrize("head_dim", [64, 128])
def test_a_bias_may_be_part_of_a_wider_one(head_dim):
    """Its rows lie at multiples of 16 bytes, but end elsewhere."""
    case = Case(bias="bhqk", causal=True, seq_q=200, seq_k=257, head_dim=head_dim, value_dim=head_dim)
    inputs, grad_out, options = case.arguments(torch.bfloat16, "cuda")
    wider = torch.full((2, 4, 200, 264), torch.inf, dtype=torch.bfloat16, device="cuda")
    wider[..., :257] = options["bias"].detach()
    options["bias"] = wider[..., :257].requires_grad_()
    out = flash_attention(*inputs, **options)
    got = [out, *torch.autograd.grad(out, differentiable(inputs, options), grad_out)]
    want, lse, p = formula_results(inputs, grad_out, options)
    check(got, want, case, torch.bfloat16, p, lse, options, "cuda")


@pytest.mark.parametrize("head_dim", [64, 128, 256])
def test_masks_that_empty_and_fill_whole_tiles(head_dim):
    """Rows of tiles that see all, some and none of a tile's keys; batches whose keys end early or never begin."""
    case = Case(batch=3, seq_q=400, seq_k=650, kv_heads=1, head_dim=head_dim, value_dim=head_dim, mask="bhqk")
    (q, k, v), grad_out, options = case.arguments(torch.bfloat16, "cuda")
    dense = torch.ones(3, 1, 400, 650, dtype=torch.bool, device="cuda")
    dense[0, :, :130, 100:400] = False
    dense[0, :, 128:256] = False
    dense[1, :, :, 256:384] = False
    dense[1, :, 200:, 500:] = False
    padding = (
        torch.arange(650, device="cuda") < torch.tensor([300, 650, 0], device="cuda")[:, None, None, None]
    )
    for mask in (dense, padding, padding & dense, dense.mT.contiguous().mT):
        options["mask"] = mask
        out = flash_attention(q, k, v, **options)
        got = [out, *torch.autograd.grad(out, (q, k, v), grad_out)]
        want, lse, p = formula_results((q, k, v), grad_out, options)
        check(got, want, case, torch.bfloat16, p, lse, options, "cuda")


def test_hopper_runs_our_kernels_with_options():
    if not on_hopper():
        pytest.skip("no Hopper GPU")
    ours = {"forward_options_kernel", "backward_options_kernel"}
    for name, case in CASES.items():
        if case != ODD_DIMS:
            assert kernels(lambda c=case: run_op(c, torch.bfloat16)) == ours, name
    for plain in (Case(head_dim=64, value_dim=64), ODD_DIMS):
        assert kernels(lambda c=plain: run_op(c, torch.float16)) == {"forward_kernel", "backward_kernel"}
    assert not kernels(lambda: run_op(CASES["all"], torch.float32))


ORDERED = {
    "full": Case(batch=1, seq_q=2000, seq_k=2000, group=3, kv_heads=1, head_dim=64, value_dim=64),
    "window and mask": Case(
        batch=1,
        causal=True,
        window=(300, -1),
        mask="b--k",
        seq_q=1500,
        seq_k=1700,
        head_dim=128,
        value_dim=128,
    ),
    "both sides": Case(
        batch=1, window=(100, 200), bias="bhqk", seq_q=700, seq_k=650, head_dim=64, value_dim=64
    ),
    "256": Case(batch=1, causal=True, seq_q=1000, seq_k=1000, head_dim=256, value_dim=256),
}


@pytest.mark.parametrize("name", ORDERED)
def test_gradients_are_the_same_each_time_where_asked_for(name):
    """Dozens of blocks of keys add to the same dQ at about the same time, each in its turn."""
    case = ORDERED[name]
    first, *others = (run_op(case, torch.bfloat16, deterministic=True) for _ in range(5))
    for run in others:
        assert all(torch.equal(mine, same) for mine, same in zip(run, first, strict=True))
    inputs, grad_out, options = case.arguments(torch.bfloat16, "cuda")
    want, lse, p = formula_results(inputs, grad_out, options)
    check(first, want, case, torch.bfloat16, p, lse, options, "cuda")
    if on_hopper():
        ran = kernels(lambda: run_op(case, torch.bfloat16, deterministic=True))
        assert "backward_options_kernel" in ran


def test_a_shared_bias_has_the_same_gradient_each_time_where_asked_for():
    case = Case(bias="--qk", seq_q=300, seq_k=300, head_dim=64, value_dim=64)
    first, *others = (run_op(case, torch.bfloat16, deterministic=True) for _ in range(5))
    assert all(torch.equal(run[-1], first[-1]) for run in others)


PACKED = ((5, 7), (0, 3), (40, 40), (1, 130), (33, 0), (197, 220), (300, 129))


@pytest.mark.parametrize("dims", [(64, 64), (128, 128), (40, 24), (256, 192)], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(causal=True, window=(90, -1), softcap=2.0),
        dict(alibi_slopes=True, sinks=True, causal=True),
        dict(dropout_p=0.25),
    ],
    ids=str,
)
def test_packed_sequences_match_the_formula(dims, options):
    def problem(dtype, device):
        return Problem(PACKED, dtype, device, head_dim=dims[0], value_dim=dims[1], **options)

    mine, exact = problem(torch.bfloat16, "cuda"), problem(torch.float64, "cpu")
    with torch.no_grad():
        for plain, rounded in zip(exact.differentiable(), mine.differentiable(), strict=True):
            plain.copy_(rounded)
        exact.grad_out.copy_(mine.grad_out)

    def alone(q, k, v, index, options):
        # Sequence `index` is batch `index`, which only dropout counts.
        several = [torch.cat([torch.zeros_like(t)] * index + [t]) for t in (q, k, v)]
        out, lse, _ = attention(*several, **options)
        return out[index:], lse[index:]

    out, lse, grads = mine.run()
    want, want_lse = exact.each(alone)
    wanted = torch.autograd.grad(want, exact.differentiable(), exact.grad_out)
    # As in test_flash_attention_varlen: sums of probabilities of numbers in ±1, with operands of the dtype, over
    # P(keep); ALiBi's scores are as large as the sequences are long.
    bound = (2 * torch.finfo(torch.bfloat16).eps + 1200 * torch.finfo(torch.float32).eps) / 0.75
    torch.testing.assert_close(out.cpu().double(), want, rtol=0, atol=bound)
    torch.testing.assert_close(
        lse.cpu().double(), want_lse, rtol=1e-6, atol=1200 * torch.finfo(torch.float32).eps
    )
    for found, plain in zip(grads, wanted, strict=True):
        torch.testing.assert_close(
            found.cpu().double(), plain, rtol=0, atol=16 * bound * (plain.abs().max().item() + 1)
        )


def test_hopper_runs_packed_sequences_in_one_kernel():
    if not on_hopper():
        pytest.skip("no Hopper GPU")
    for dims in ((64, 64), (40, 24), (256, 192)):
        packed = Problem(PACKED, torch.bfloat16, "cuda", head_dim=dims[0], value_dim=dims[1], causal=True)
        assert kernels(packed.run) == {"forward_options_kernel", "backward_options_kernel"}, dims


FRUGAL = {
    "plain": {},
    "causal": dict(causal=True),
    "window": dict(causal=True, window=(500, 0)),
    "mask of keys": dict(mask=True),
    "softcap": dict(softcap=20.0),
    "dropout": dict(dropout_p=0.1),
    "deterministic": dict(deterministic=True),
}


@pytest.mark.parametrize("head_dim", [64, 256])
@pytest.mark.parametrize("name", FRUGAL)
def test_memory_is_linear_in_the_sequence(name, head_dim):
    seq, options = 8192, dict(FRUGAL[name])
    if options.get("mask"):
        options["mask"] = torch.ones(1, 1, 1, seq, dtype=torch.bool, device="cuda")
    q, k, v = (
        torch.rand(1, seq, 2, head_dim, dtype=torch.bfloat16, device="cuda", requires_grad=True)
        for _ in range(3)
    )
    grad = torch.rand_like(q)
    flash_attention(q[:, :300], k, v, **options).sum().backward()  # libraries have started
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    out = flash_attention(q, k, v, **options)
    torch.autograd.grad(out, (q, k, v), grad)
    # out, three gradients, dQ in fp32 (twice as large), and a few bytes a row. Scores would be 256 MiB.
    assert torch.cuda.max_memory_allocated() - before < 7 * q.nbytes + 2**20


def test_a_bias_broadcast_in_memory_costs_its_own_size():
    """A bias shared by batches and heads: their scores together would be 64 times as large."""
    q, k, v = (torch.rand(8, 1024, 8, 64, dtype=torch.bfloat16, device="cuda") for _ in range(3))
    bias = torch.zeros(1, 1, 1024, 1024, dtype=torch.bfloat16, device="cuda", requires_grad=True)  # 2 MiB
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    flash_attention(q, k, v, bias=bias).square().sum().backward()
    # q and its like take 8 MiB each, in fp32 twice as much; all scores 128 MiB in the dtype.
    assert torch.cuda.max_memory_allocated() - before < 96 * 2**20
    assert bias.grad.abs().sum() > 0
