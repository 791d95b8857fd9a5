"""The flash_attention ops on a GPU: the sizes at which tiles and turns of Hopper's kernels change, and determinism."""

import pytest
import torch
from test_flash_attention_op import Case, bounds, formula

from zeta.nn.functional import flash_attention

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")

CASES = {
    # Rows of a tile: 128 or 192; keys of one: 128; a block of the backward: 64 or 128 queries.
    "several tiles": Case(causal=True, seq_q=300, seq_k=437, kv_heads=2, head_dim=128, value_dim=128),
    "rows that see nothing": Case(causal=True, seq_q=437, seq_k=130, head_dim=128, value_dim=128, kv_heads=1),
    "a key beyond a tile": Case(seq_q=193, seq_k=257, head_dim=64, value_dim=64),
    "tiles exactly": Case(causal=True, seq_q=256, seq_k=256, head_dim=64, value_dim=64, kv_heads=2),
    "long causal rows": Case(
        causal=True, batch=1, seq_q=1100, seq_k=1100, heads=2, kv_heads=1, head_dim=64, value_dim=64
    ),
    "wide values": Case(seq_q=70, seq_k=140, head_dim=40, value_dim=72, kv_heads=2),
    "narrow values": Case(causal=True, seq_q=140, seq_k=140, head_dim=128, value_dim=8, kv_heads=1),
    # More tiles than any GPU has multiprocessors, so that a block takes several, with rings of buffers half-way.
    "many turns": Case(causal=True, batch=48, heads=6, kv_heads=3, seq_q=150, seq_k=390),
    "many full turns": Case(batch=60, heads=8, kv_heads=8, seq_q=200, seq_k=130, head_dim=64, value_dim=64),
}


def on_hopper() -> bool:
    return torch.cuda.get_device_capability() == (9, 0)


def gradients(case, dtype, **options):
    q, k, v, grad_out, mask = case.tensors(dtype, device="cuda")
    out = flash_attention(q, k, v, mask=mask, causal=case.causal, **options)
    return torch.autograd.grad(out, (q, k, v), grad_out)


def kernels(run) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    names = [event.key for event in profile.key_averages()]
    return {kernel for kernel in ("forward_kernel", "backward_kernel") if any(kernel in n for n in names)}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_formula(case, dtype):
    q, k, v, grad_out, mask = case.tensors(dtype, device="cuda")
    out, lse = flash_attention(q, k, v, causal=case.causal, return_lse=True)
    got = [out, *torch.autograd.grad(out, (q, k, v), grad_out)]
    exact = [t.detach().cpu().double().requires_grad_() for t in (q, k, v)]
    want_out, want_lse, p = formula(*exact, mask, case.causal)
    want = [want_out, *torch.autograd.grad(want_out, exact, grad_out.cpu().double())]
    torch.testing.assert_close(
        lse.cpu().double(), want_lse, rtol=1e-6, atol=bounds(case, torch.float32, p)[0]
    )
    for mine, plain, bound in zip(got, want, bounds(case, dtype, p, "cuda"), strict=True):
        torch.testing.assert_close(mine.cpu().double(), plain, rtol=torch.finfo(dtype).eps, atol=bound)


@pytest.mark.parametrize("step", [0.005, -0.005, 0.08, -0.08, 2.0])
def test_greatest_score_may_climb_slowly_or_leap(step):
    """What rows are relative to follows their greatest score late: 512 keys whose scores rise by `step` each."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, n, 2, 64, dtype=torch.bfloat16, device="cuda") for n in (130, 512, 512))
    q[..., 0] = 8  # and scores are divided by 8
    k[..., 0] = (torch.arange(512, device="cuda") - 256)[:, None] * step
    out, lse = flash_attention(q, k, v, return_lse=True)
    exact = [t.double().transpose(1, 2) for t in (q, k, v)]
    scores = exact[0] @ exact[1].mT / 8
    want = (scores.softmax(-1) @ exact[2]).transpose(1, 2)
    # Sums of 64 products and a logarithm in fp32; probabilities, then results, rounded to bf16.
    torch.testing.assert_close(
        lse.double(), scores.logsumexp(-1), rtol=0, atol=66 * 2**-24 * scores.abs().max()
    )
    torch.testing.assert_close(out.double(), want, rtol=0, atol=2**-8 * v.abs().max().item())


def test_hopper_runs_our_kernels_where_they_compute_what_is_asked_for():
    if not on_hopper():
        pytest.skip("no Hopper GPU")
    plain = Case(causal=True, kv_heads=2)
    assert kernels(lambda: gradients(plain, torch.bfloat16)) == {"forward_kernel", "backward_kernel"}
    for case, dtype, options in [
        (plain, torch.float32, {}),
        (plain, torch.bfloat16, {"softcap": 5.0}),
        (plain, torch.bfloat16, {"softmax_scale": -0.25}),
        (Case(head_dim=20, value_dim=20), torch.bfloat16, {}),
        (Case(head_dim=136, value_dim=136), torch.bfloat16, {}),
        (Case(mask="--qk"), torch.bfloat16, {}),
    ]:
        assert not kernels(lambda c=case, d=dtype, o=options: gradients(c, d, **o)), (case, dtype, options)


@pytest.mark.parametrize("everywhere", [False, True])
def test_gradients_are_the_same_each_time_where_asked_for(everywhere):
    """All 32 blocks of keys add to the same dQ, and begin together: not asked, their order shows in a few runs."""
    case = Case(seq_q=4096, seq_k=4096, kv_heads=1, head_dim=64, value_dim=64)
    options = {} if everywhere else {"deterministic": True}
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(everywhere)
    try:
        first, *others = [gradients(case, torch.bfloat16, **options) for _ in range(6)]
    finally:
        torch.use_deterministic_algorithms(before)
    for run in others:
        for mine, same in zip(run, first, strict=True):
            assert torch.equal(mine, same)
