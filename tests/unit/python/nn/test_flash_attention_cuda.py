"""The flash_attention ops on a GPU, by each set of kernels: the sizes at which tiles change, and determinism."""

import pytest
import torch
from attention_formula import attention
from test_flash_attention_op import Case, bounds

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
    "many turns of long rows": Case(
        causal=True, batch=8, seq_q=1090, seq_k=1090, kv_heads=2, head_dim=64, value_dim=64
    ),
    "many turns of rows that see nothing": Case(
        causal=True, batch=40, seq_q=437, seq_k=130, kv_heads=2, head_dim=64, value_dim=64
    ),
    "many turns of wide heads": Case(
        causal=True, batch=20, seq_q=300, seq_k=437, kv_heads=2, head_dim=128, value_dim=128
    ),
    "many full turns": Case(batch=60, heads=8, kv_heads=8, seq_q=200, seq_k=130, head_dim=64, value_dim=64),
}


# What the kernels for Ampere do besides: rows of a tile are 64 or 128, keys of one 32, 64 or 128.
AMPERE_CASES = {
    "wide heads": Case(causal=True, seq_q=300, seq_k=277, kv_heads=2, head_dim=256, value_dim=256),
    "a key beyond a tile of wide heads": Case(seq_q=129, seq_k=65, kv_heads=1, head_dim=136, value_dim=200),
    "rows of a few bytes": Case(causal=True, seq_q=77, seq_k=141, kv_heads=2, head_dim=20, value_dim=5),
}
WINDOWS = [(70, 0), (0, 33), (130, 64), (-1, 5)]


def on_hopper() -> bool:
    return torch.cuda.get_device_capability() == (9, 0)


@pytest.fixture(params=["sm_80", "sm_90"])
def isa(request, monkeypatch) -> str:
    if request.param == "sm_90" and not on_hopper():
        pytest.skip("no Hopper GPU")
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("no Ampere GPU")
    monkeypatch.setenv("ZETA_CUDA_ISA", request.param)
    return request.param


def gradients(case, dtype, **options):
    q, k, v, grad_out, mask = case.tensors(dtype, device="cuda")
    out = flash_attention(q, k, v, mask=mask, causal=case.causal, **options)
    return torch.autograd.grad(out, (q, k, v), grad_out)


def kernels(run) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    names = [event.key for event in profile.key_averages()]
    ours = (a + b for a in ("ampere::ampere_", "cuda::") for b in ("forward_kernel", "backward_kernel"))
    return {kernel for kernel in ours if any(kernel in n for n in names)}


AMPERE = {"ampere::ampere_forward_kernel", "ampere::ampere_backward_kernel"}
HOPPER = {"cuda::forward_kernel", "cuda::backward_kernel"}


def check(case, dtype, **options):
    """Out, lse and gradients against float64."""
    q, k, v, grad_out, mask = case.tensors(dtype, device="cuda")
    out, lse = flash_attention(q, k, v, causal=case.causal, return_lse=True, **options)
    got = [out, *torch.autograd.grad(out, (q, k, v), grad_out)]
    exact = [t.detach().cpu().double().requires_grad_() for t in (q, k, v)]
    want_out, want_lse, p = attention(*exact, mask=mask, causal=case.causal, **options)
    want = [want_out, *torch.autograd.grad(want_out, exact, grad_out.cpu().double())]
    torch.testing.assert_close(
        lse.cpu().double(), want_lse, rtol=1e-6, atol=bounds(case, torch.float32, p)[0]
    )
    for name, mine, plain, bound in zip(
        ["out", "q", "k", "v"], got, want, bounds(case, dtype, p, "cuda"), strict=True
    ):
        torch.testing.assert_close(
            mine.cpu().double(),
            plain,
            rtol=torch.finfo(dtype).eps,
            atol=bound,
            msg=lambda m, name=name: f"{name}: {m}",
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_formula(case, dtype, isa):
    check(case, dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", AMPERE_CASES.values(), ids=AMPERE_CASES)
def test_ampere_does_every_head_dim(case, dtype, monkeypatch):
    monkeypatch.setenv("ZETA_CUDA_ISA", "sm_80")
    assert kernels(lambda: check(case, dtype)) == AMPERE


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("sizes", [(300, 437), (437, 130)], ids=str)
@pytest.mark.parametrize("head_dim", [64, 128, 256])
def test_ampere_does_windows(window, sizes, head_dim, monkeypatch):
    monkeypatch.setenv("ZETA_CUDA_ISA", "sm_80")
    case = Case(seq_q=sizes[0], seq_k=sizes[1], kv_heads=2, head_dim=head_dim, value_dim=head_dim)
    assert kernels(lambda: check(case, torch.bfloat16, window=window)) == AMPERE


def test_ampere_follows_scores_that_keep_rising(monkeypatch):
    """From tile to tile, by more and by less than what a rescaling waits for."""
    monkeypatch.setenv("ZETA_CUDA_ISA", "sm_80")
    for dtype, step in [(torch.bfloat16, 0.5), (torch.float16, 4.0)]:
        seq = 1024
        q = torch.ones(1, seq, 1, 64, dtype=dtype, device="cuda")
        k = (
            (torch.arange(seq, 0, -1, device="cuda") // 64 * step)
            .to(dtype)[None, :, None, None]
            .expand(q.shape)
        )
        v = torch.rand(1, seq, 1, 64, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        v = (v * 2 - 1).to("cuda", dtype)
        out, lse = flash_attention(q, k, v, softmax_scale=1 / 64, return_lse=True)
        want, want_lse, _ = attention(q, k, v, softmax_scale=1 / 64)
        # Every score is a number that is exact in fp32; the largest is step · 16.
        torch.testing.assert_close(lse.cpu().double(), want_lse, rtol=1e-6, atol=1e-6)
        store = torch.finfo(dtype).eps / 2  # of probabilities, and of out, at most 1
        torch.testing.assert_close(out.cpu().double(), want, rtol=0, atol=2 * store + (seq + 64) * 2**-24)


def test_another_isa_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("ZETA_CUDA_ISA", "sm_70")
    q = torch.zeros(1, 40, 1, 64, dtype=torch.bfloat16, device="cuda")  # few queries would not ask
    with pytest.raises(ValueError, match="ZETA_CUDA_ISA=sm_70: expected sm_80 or sm_90"):
        flash_attention(q, q, q)


def test_ampere_leaves_to_torch_what_it_does_not_compute(monkeypatch):
    monkeypatch.setenv("ZETA_CUDA_ISA", "sm_80")
    for case, dtype, options in [
        (Case(causal=True), torch.float32, {}),
        (Case(causal=True), torch.bfloat16, {"softcap": 5.0}),
        (Case(causal=True), torch.bfloat16, {"softmax_scale": -0.25}),
        (Case(mask="--qk"), torch.bfloat16, {}),
    ]:
        assert not kernels(lambda c=case, d=dtype, o=options: gradients(c, d, **o)), (case, dtype, options)


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
    assert kernels(lambda: gradients(plain, torch.bfloat16)) == HOPPER
    assert not kernels(lambda: gradients(plain, torch.float32))
    # What these do not compute, other kernels of ours do: test_flash_attention_cuda_options.
    for case, options in [
        (plain, {"softcap": 5.0}),
        (plain, {"softmax_scale": -0.25}),
        (Case(mask="--qk"), {}),
    ]:
        assert not kernels(lambda c=case, o=options: gradients(c, torch.bfloat16, **o)), (case, options)


FASTER_BY_CUDNN = Case(
    causal=True, batch=1, heads=2, kv_heads=2, seq_q=512, seq_k=512, head_dim=64, value_dim=64
)


@pytest.mark.parametrize("dispatch", ["", "own"])
def test_cudnn_runs_where_it_is_faster(dispatch, monkeypatch):
    """Our backward takes its log-sum-exp, of tensors that lie as they may."""
    if not on_hopper():
        pytest.skip("no Hopper GPU")
    monkeypatch.setenv("ZETA_ATTENTION_DISPATCH", dispatch)
    ours = HOPPER if dispatch else {"cuda::backward_kernel"}
    assert kernels(lambda: check(FASTER_BY_CUDNN, torch.bfloat16)) == ours
    packed = torch.randn(2, 512, 3, 2, 64, dtype=torch.float16, device="cuda", requires_grad=True)
    q, k, v = packed.unbind(2)
    out = flash_attention(q, k, v, causal=True, softmax_scale=0.2)
    (got,) = torch.autograd.grad(out, packed, torch.ones_like(out))
    exact = packed.detach().double().cpu().requires_grad_()
    want_out, _, _ = attention(*exact.unbind(2), causal=True, softmax_scale=0.2)
    (want,) = torch.autograd.grad(want_out, exact, torch.ones_like(want_out))
    # In root mean square, which averages roundings of probabilities and of their gradients.
    bound = 2 * torch.finfo(torch.float16).eps
    assert (out.cpu().double() - want_out).norm() < bound * want_out.norm()
    assert (got.cpu().double() - want).norm() < bound * want.norm()


def test_cudnn_is_left_out_where_it_is_forbidden(monkeypatch):
    if not on_hopper():
        pytest.skip("no Hopper GPU")
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        assert kernels(lambda: gradients(FASTER_BY_CUDNN, torch.bfloat16)) == HOPPER
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)
    with pytest.raises(ValueError, match="ZETA_ATTENTION_DISPATCH=never: expected own"):
        monkeypatch.setenv("ZETA_ATTENTION_DISPATCH", "never")
        gradients(FASTER_BY_CUDNN, torch.bfloat16)


@pytest.mark.parametrize("everywhere", [False, True])
def test_gradients_are_the_same_each_time_where_asked_for(everywhere, isa):
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


GRAPHED = {
    "plain": {},
    "causal window": dict(causal=True, window=(60, 0)),
    "mask and bias": dict(mask=True, bias=True),
    "softcap, deterministic": dict(softcap=3.0, deterministic=True),
}


@pytest.mark.parametrize("head_dim", [64, 128, 256])
@pytest.mark.parametrize("name", GRAPHED)
def test_a_graph_runs_both_directions_again(name, head_dim):
    """On new numbers in the same places."""
    if not on_hopper():
        pytest.skip("no Hopper GPU")
    torch.manual_seed(0)
    options = dict(GRAPHED[name])
    if options.pop("mask", False):
        options["mask"] = torch.rand(2, 1, 1, 264, device="cuda") < 0.7
    if options.pop("bias", False):
        options["bias"] = torch.randn(1, 4, 200, 264, dtype=torch.bfloat16, device="cuda")
    sizes = [(2, 200, 4, head_dim), (2, 264, 2, head_dim), (2, 264, 2, head_dim), (2, 200, 4, head_dim)]
    *inputs, grad_out = (torch.randn(size, dtype=torch.bfloat16, device="cuda") for size in sizes)
    for leaf in inputs:
        leaf.requires_grad_()

    def step():
        out = flash_attention(*inputs, **options)
        return [out, *torch.autograd.grad(out, inputs, grad_out)]

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for _ in range(2):
        with torch.no_grad():
            for t in (*inputs, grad_out):
                t.normal_()
        graph.replay()
        want = step()
        assert torch.equal(captured[0], want[0])
        for mine, plain in zip(captured[1:], want[1:], strict=True):  # dQ's sums vary in their order
            torch.testing.assert_close(mine, plain, rtol=2**-7, atol=2**-8 * plain.abs().max().item())


def test_a_graph_draws_new_dropout_each_time():
    q = torch.ones(1, 256, 2, 64, dtype=torch.bfloat16, device="cuda")
    flash_attention(q, q, q, dropout_p=0.5)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = flash_attention(q, q, q, dropout_p=0.5)
    graph.replay()
    first = out.clone()
    graph.replay()
    assert not torch.equal(out, first)
