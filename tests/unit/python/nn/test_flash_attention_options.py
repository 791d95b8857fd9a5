"""flash_attention with all its options, in any combination, against the formula in float64."""

import dataclasses

import hypothesis
import pytest
import torch
from attention_formula import attention, dropout_factors, philox
from hypothesis import strategies as st

from zeta.nn.functional import flash_attention

forward_op = torch.ops.zeta.flash_attention_forward.default
backward_op = torch.ops.zeta.flash_attention_backward.default
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
RNG_STATE = (0x123456789ABCDEF0, 0x0FEDCBA987654321)


@dataclasses.dataclass(frozen=True)
class Case:
    batch: int = 2
    seq_q: int = 33
    seq_k: int = 33
    kv_heads: int = 2
    group: int = 2
    head_dim: int = 16
    value_dim: int = 16
    causal: bool = False
    window: tuple[int, int] = (-1, -1)
    softcap: float = 0.0
    bias: str | None = None  # what of (batch, heads, seq_q, seq_k) it has; - where it broadcasts
    wide: bool = False  # bias and sinks in fp32
    alibi: str | None = None  # "h" or "bh"
    sinks: bool = False
    dropout_p: float = 0.0
    mask: str | None = None
    scale: float | None = None
    order: str = "bshd"  # how q, k and v lie in memory

    def draw(self, generator, letters, requires_grad=True, dtype=torch.float64):
        """Uniform in ±1, -inf or false in some places."""
        full = (self.batch, self.kv_heads * self.group, self.seq_q, self.seq_k)
        shape = [1 if letter == "-" else n for letter, n in zip(letters, full, strict=True)]
        x = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
        return x.to(dtype).requires_grad_(requires_grad)

    def arguments(self, dtype, device="cpu"):
        generator = torch.Generator().manual_seed(11)
        heads = self.kv_heads * self.group

        def operand(seq, heads, dim):
            sizes = dict(b=self.batch, s=seq, h=heads, d=dim)
            x = torch.rand([sizes[c] for c in self.order], generator=generator, dtype=torch.float64) * 2 - 1
            x = x.permute([self.order.index(c) for c in "bshd"])
            return x.to(device, dtype).requires_grad_()

        q = operand(self.seq_q, heads, self.head_dim)
        k = operand(self.seq_k, self.kv_heads, self.head_dim)
        v = operand(self.seq_k, self.kv_heads, self.value_dim)
        grad_out = operand(self.seq_q, heads, self.value_dim).detach()
        options = dict(causal=self.causal, window=self.window, softcap=self.softcap, softmax_scale=self.scale)
        extra = torch.float32 if self.wide and dtype != torch.float64 else dtype
        if self.bias is not None:
            bias = self.draw(generator, self.bias, False)
            bias[bias > 0.9] = -torch.inf
            options["bias"] = bias.to(device, extra).requires_grad_()
        if self.alibi is not None:
            shape = {"h": (heads,), "bh": (self.batch, heads)}[self.alibi]
            options["alibi_slopes"] = torch.rand(shape, generator=generator).to(device)
        if self.sinks:
            sinks = torch.randn(heads, generator=generator, dtype=torch.float64)
            options["sinks"] = sinks.to(device, extra).requires_grad_()
        if self.dropout_p:
            options |= dict(dropout_p=self.dropout_p, rng_state=torch.tensor(RNG_STATE, device=device))
        if self.mask is not None:
            options["mask"] = (self.draw(generator, self.mask, False) < 0.4).to(device)
        return (q, k, v), grad_out, options


def differentiable(inputs, options):
    return [*inputs, *(options[name] for name in ("bias", "sinks") if name in options)]


def tolerances(case, dtype, p, lse, options, device="cpu"):
    """How far out and the gradients of q, k, v, bias, sinks may be off.

    As in test_flash_attention_op: a score sums head_dim products below 1 in magnitude. Besides, what is added to
    scores rounds them to a unit of their own size, tanh to a few of softcap's. A probability's relative error is
    its score's error, that of exp2 and that of the sum; a gradient's terms are at most 2 value_dim / P(keep) times
    a probability. bias and sinks are stored in a dtype of their own. CPUs that multiply bfloat16 round
    probabilities to it first.
    """
    unit = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps / 2
    store = torch.finfo(dtype).eps / 2
    scale = abs(case.head_dim**-0.5 if case.scale is None else case.scale)
    size = case.head_dim * scale + 1 + lse[lse.isfinite()].abs().max().item() if lse.isfinite().any() else 1.0
    if case.alibi is not None:
        size += case.seq_q + case.seq_k
    relative = 2 * (case.head_dim + 3) * unit * case.head_dim * scale + (case.seq_k + 8) * unit
    relative += 8 * unit * size + 16 * unit * case.softcap
    factor = 65536 / (65536 - min(round(65536 * case.dropout_p), 65535))
    rows = case.seq_q * case.group
    operand = store if device == "cuda" or dtype == torch.bfloat16 else 0.0
    gradient = 2 * relative + (rows + 2 * case.value_dim + 16) * unit + 2 * store + 3 * operand
    term = 2 * case.value_dim * factor
    per_key = p.sum(2).unflatten(1, (case.kv_heads, case.group)).sum(2).max().item() if p.numel() else 0.0
    bounds = [
        factor * (relative + store + operand),
        gradient * term * scale,
        gradient * term * scale * per_key,
        gradient * factor * per_key,
    ]
    if "bias" in options:
        shape = options["bias"].shape
        bounds.append(
            (gradient + p.numel() * unit) * term * (p.sum_to_size(shape).max().item() if p.numel() else 0.0)
        )
    if "sinks" in options:
        bounds.append((gradient + p.numel() * unit) * term * case.batch * case.seq_q)
    return bounds


def check(got, want, case, dtype, p, lse, options, device="cpu"):
    names = ["out", "q", "k", "v", *(name for name in ("bias", "sinks") if name in options)]
    for name, mine, plain, bound in zip(
        names, got, want, tolerances(case, dtype, p, lse, options, device), strict=True
    ):
        torch.testing.assert_close(
            mine.cpu().double(),
            plain,
            rtol=torch.finfo(mine.dtype).eps,
            atol=bound,
            msg=lambda m, name=name: f"{name}: {m}",
        )


def formula_results(inputs, grad_out, options):
    exact = [t.detach().cpu().double().requires_grad_() for t in inputs]
    changed = dict(options)
    for name in ("bias", "sinks"):
        if name in options:
            changed[name] = options[name].detach().cpu().double().requires_grad_()
    out, lse, p = attention(*exact, **changed)
    wanted = differentiable(exact, changed)
    grads = torch.autograd.grad(out, wanted, grad_out.cpu().double(), allow_unused=True)
    grads = [torch.zeros_like(t) if g is None else g for t, g in zip(wanted, grads, strict=True)]
    return [out.detach(), *grads], lse.detach(), p.detach()


def check_op(case, dtype, device="cpu"):
    inputs, grad_out, options = case.arguments(dtype, device)
    out, got_lse = flash_attention(*inputs, **options, return_lse=True)
    got = [out, *torch.autograd.grad(out, differentiable(inputs, options), grad_out)]
    want, lse, p = formula_results(inputs, grad_out, options)
    check(got, want, case, dtype, p, lse, options, device)
    bound = tolerances(case, torch.float64 if dtype == torch.float64 else torch.float32, p, lse, options)[0]
    torch.testing.assert_close(got_lse.cpu().double(), lse, rtol=1e-6, atol=bound)


def check_aten(case, dtype):
    """The ATen path, which CPU tensors take when dispatched as if for a device without kernels of ours."""
    inputs, grad_out, options = case.arguments(dtype)
    other = torch._C.DispatchKeySet(torch._C.DispatchKey.XLA)
    scale = case.head_dim**-0.5 if case.scale is None else case.scale
    arguments = (
        options.get("mask"), scale, case.causal, *case.window, case.softcap, options.get("bias"),
        options.get("alibi_slopes"), options.get("sinks"), case.dropout_p, options.get("rng_state"), False,
    )  # fmt: skip
    with torch.no_grad():
        out, _ = results = forward_op.redispatch(other, *inputs, *arguments)
        grads = backward_op.redispatch(other, grad_out, *inputs, *results, *arguments, "bias" in options)
    got = [out, *grads[:3]]
    if "bias" in options:
        got.append(grads[3])
    if "sinks" in options:
        got.append(grads[4])
    want, lse, p = formula_results(inputs, grad_out, options)
    check(got, want, case, dtype, p, lse, options)


CASES = {
    "window": Case(window=(5, 3), seq_q=120, seq_k=150),
    "window beyond the keys": Case(window=(2, -1), causal=True, seq_q=150, seq_k=20),
    "window of itself": Case(window=(0, 0), head_dim=5),
    "window without end": Case(window=(2**63 - 1, 2**63 - 1), causal=True, group=3),
    "wide window": Case(window=(300, 200), seq_q=10, seq_k=230),
    "softcap": Case(softcap=0.7, scale=1.0),
    "softcap far": Case(softcap=30.0, causal=True, group=1, head_dim=64, value_dim=8),
    "bias": Case(bias="bhqk"),
    "bias of heads": Case(bias="-hqk", causal=True, seq_q=130, seq_k=210, wide=True),
    "bias of batch": Case(bias="b-qk"),
    "bias of keys": Case(bias="b--k", seq_q=100),
    "bias of rows": Case(bias="-hq-", group=1, sinks=True),
    "bias of all": Case(bias="----"),
    "alibi": Case(alibi="h", causal=True),
    "alibi of batches": Case(alibi="bh", seq_q=5, seq_k=40),
    "sinks": Case(sinks=True, causal=True, seq_q=40, seq_k=20),
    "wide sinks": Case(sinks=True, wide=True, seq_q=1, seq_k=70),
    "dropout": Case(dropout_p=0.3, seq_q=101, seq_k=123),
    "dropout of few": Case(dropout_p=0.5, seq_q=1, seq_k=61, causal=True, window=(50, -1)),
    "all": Case(
        causal=True, window=(40, -1), softcap=2.0, bias="-hqk", alibi="h", sinks=True, dropout_p=0.2, mask="b--k",
        seq_q=97, seq_k=110, head_dim=24, value_dim=40,
    ),
    "all of few": Case(
        causal=True, window=(40, -1), softcap=2.0, bias="-hqk", alibi="bh", sinks=True, dropout_p=0.2, mask="b--k",
        seq_q=2, seq_k=110, head_dim=12, value_dim=3,
    ),
    "no queries": Case(seq_q=0, bias="-hqk", sinks=True, dropout_p=0.2),
    "no keys": Case(seq_k=0, bias="-hqk", sinks=True, dropout_p=0.2, alibi="h", window=(3, 3)),
    "no batch": Case(batch=0, bias="-hqk", sinks=True),
    "one": Case(seq_q=1, seq_k=1, head_dim=1, value_dim=256, bias="bhqk", sinks=True),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_matches_formula(name, dtype, device):
    check_op(CASES[name], dtype, device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_formula_for_other_devices(name, dtype):
    check_aten(CASES[name], dtype)


PATTERNS = st.one_of(st.none(), st.tuples(*(st.sampled_from([c, "-"]) for c in "bhqk")).map("".join))
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([31, 47, 48, 49, 95, 96, 97, 128, 200]))
SWEEP = st.builds(
    Case,
    batch=st.integers(1, 3),
    seq_q=SIZES,
    seq_k=SIZES,
    kv_heads=st.integers(1, 3),
    group=st.sampled_from([1, 1, 2, 3, 5, 7]),
    head_dim=st.sampled_from([1, 3, 8, 16, 17, 24, 64, 100, 256]),
    value_dim=st.sampled_from([1, 5, 8, 16, 33, 64, 256]),
    causal=st.booleans(),
    window=st.tuples(*[st.one_of(st.just(-1), st.integers(0, 120))] * 2),
    softcap=st.sampled_from([0.0, 0.0, 0.5, 20.0]),
    bias=PATTERNS,
    wide=st.booleans(),
    alibi=st.sampled_from([None, None, "h", "bh"]),
    sinks=st.booleans(),
    dropout_p=st.sampled_from([0.0, 0.0, 0.1, 0.75]),
    mask=PATTERNS,
    scale=st.sampled_from([None, None, 0.0, -0.5, 100.0]),
    order=st.permutations("bshd").map("".join),
)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(case=SWEEP, dtype=st.sampled_from(DTYPES))
def test_sweep(case, dtype):
    check_op(case, dtype)


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(case=SWEEP, dtype=st.sampled_from([torch.float32, torch.float64]))
def test_sweep_for_other_devices(case, dtype):
    check_aten(case, dtype)


def test_philox_is_the_papers():
    """Known answers of the authors' Random123."""
    assert [int(w) for w in philox((0, 0, 0, 0), (0, 0))] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 0xFFFFFFFF
    assert [int(w) for w in philox((ones,) * 4, (ones, ones))] == [
        0x408F276D,
        0x41C83B0E,
        0xA20BC7C6,
        0x6D5451FD,
    ]
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert [int(w) for w in philox(*pi)] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_dropout_keeps_its_share_and_is_drawn_anew():
    q, k = (torch.zeros(1, 64, 4, 8) for _ in range(2))
    v = torch.eye(64)[None, :, None].expand(1, 64, 4, 64)  # out is the probabilities
    first, second = (flash_attention(q, k, v, dropout_p=0.25) for _ in range(2))
    kept = (first != 0).double()
    # 16384 independent draws: six standard deviations.
    assert abs(kept.mean().item() - 0.75) < 6 * (0.25 * 0.75 / kept.numel()) ** 0.5
    torch.testing.assert_close(first[first != 0], torch.full_like(first[first != 0], 1 / 64 / 0.75))
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    first = flash_attention(q, k, v, dropout_p=0.25)
    torch.manual_seed(5)
    assert torch.equal(flash_attention(q, k, v, dropout_p=0.25), first)


def test_dropout_depends_on_every_word_of_the_state():
    states = [(0, 0), (1, 0), (1 << 40, 0), (0, 1), (0, 1 << 41), (-1, -1)]
    masks = [dropout_factors(state, 0.5, 1, 2, 16, 40) for state in states]
    assert all(not torch.equal(a, b) for i, a in enumerate(masks) for b in masks[:i])


@pytest.mark.parametrize(
    "case",
    [
        Case(bias="-hqk", sinks=True, softcap=1.5, scale=1.0, dropout_p=0.4),
        Case(bias="b--k", window=(2, 1), alibi="h", mask="--qk"),
    ],
    ids=str,
)
def test_gradcheck(case, device):
    small = dataclasses.replace(case, seq_q=6, seq_k=7, head_dim=5, value_dim=3)
    inputs, _, options = small.arguments(torch.float64, device)
    if "bias" in options:
        options["bias"] = options["bias"].detach().clamp(min=-1).requires_grad_()
    names = [name for name in ("bias", "sinks") if name in options]

    def call(q, k, v, *extra):
        return flash_attention(q, k, v, **options | dict(zip(names, extra, strict=True)))

    assert torch.autograd.gradcheck(call, (*inputs, *(options[name] for name in names)))


def op_arguments(case, dtype, device):
    inputs, grad_out, options = case.arguments(dtype, device)
    rest = (
        options.get("mask"), 0.25, case.causal, *case.window, case.softcap, options.get("bias"),
        options.get("alibi_slopes"), options.get("sinks"), case.dropout_p, options.get("rng_state"), True,
    )  # fmt: skip
    return inputs, grad_out, rest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(dtype, device):
    inputs, grad_out, rest = op_arguments(CASES["all"], dtype, device)
    torch.library.opcheck(forward_op, (*inputs, *rest))
    with torch.no_grad():
        results = forward_op(*inputs, *rest)
        detached = [t.detach() if isinstance(t, torch.Tensor) else t for t in (*inputs, *results, *rest)]
        for bias_grad in (False, True):
            torch.library.opcheck(backward_op, (grad_out, *detached, bias_grad))


def test_compiles_as_one_graph(device):
    inputs, grad_out, options = CASES["all"].arguments(torch.float32, device)

    def step(*inputs):
        return flash_attention(*inputs, **options).sin()

    wanted = differentiable(inputs, options)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    want, got = step(*inputs), compiled(*inputs)
    torch.testing.assert_close(got, want)
    for mine, plain in zip(
        torch.autograd.grad(got, wanted, grad_out), torch.autograd.grad(want, wanted, grad_out), strict=True
    ):
        torch.testing.assert_close(mine, plain)


def test_dropout_compiles_and_is_drawn_anew():
    q = torch.randn(1, 40, 2, 8)
    compiled = torch.compile(
        lambda q: flash_attention(q, q, q, dropout_p=0.5), fullgraph=True, backend="aot_eager"
    )
    assert not torch.equal(compiled(q), compiled(q))


def test_checkpointing_drops_the_same():
    q = torch.randn(1, 40, 2, 8, dtype=torch.float64, requires_grad=True)
    grads = []
    for checkpoint in (False, True):
        torch.manual_seed(3)
        call = lambda q: flash_attention(q, q, q, dropout_p=0.5)  # noqa: E731
        out = torch.utils.checkpoint.checkpoint(call, q, use_reentrant=False) if checkpoint else call(q)
        grads.append(torch.autograd.grad(out.sum(), q)[0])
    assert torch.equal(*grads)


def test_autocast_leaves_fp32_bias_and_sinks(device):
    case = Case(bias="-hqk", sinks=True)
    inputs, _, options = case.arguments(torch.float32, device)
    with torch.autocast(device, torch.bfloat16):
        out = flash_attention(*inputs, **options)
    want = flash_attention(*(t.bfloat16() for t in inputs), **options)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, want, rtol=0, atol=0)


def test_results_do_not_depend_on_threads():
    case = dataclasses.replace(CASES["all"], seq_q=300, seq_k=300)
    inputs, grad_out, options = case.arguments(torch.float32)
    runs, threads = [], torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        out = flash_attention(*inputs, **options)
        runs.append([out, *torch.autograd.grad(out, differentiable(inputs, options), grad_out)])
    torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


BAD = {
    "window": (dict(window=(-2, 0)), ValueError, r"a window of sizes ≥ 0, or -1 for none, got \(-2, 0\)"),
    "softcap": (dict(softcap=-1.0), ValueError, "a finite softcap ≥ 0 .*, got -1"),
    "infinite softcap": (dict(softcap=float("inf")), ValueError, "got inf"),
    "bias shape": (
        dict(bias=(2, 1)),
        ValueError,
        r"a bias broadcastable to .* = \[2, 4, 33, 33\], got \[2, 1\]",
    ),
    "bias dtype": (
        dict(bias=torch.int64),
        TypeError,
        "expected bias of q's dtype Float or of Float, got Long",
    ),
    "slopes": (dict(alibi_slopes=(3,)), ValueError, r"\[4\] or .* = \[2, 4\], got \[3\]"),
    "slopes dtype": (dict(alibi_slopes=torch.float16), TypeError, "alibi_slopes of float32, got Half"),
    "sinks": (dict(sinks=(5,)), ValueError, r"sinks of shape \(num_heads\) = \[4\], got \[5\]"),
    "sinks dtype": (
        dict(sinks=torch.float64),
        TypeError,
        "expected sinks of q's dtype Float or of Float, got Double",
    ),
    "dropout": (dict(dropout_p=1.0), ValueError, "0 ≤ dropout_p < 1, got 1"),
    "state": (dict(dropout_p=0.5, rng_state=(3,)), TypeError, "rng_state of int64, got Float"),
    "state shape": (dict(dropout_p=0.5, rng_state=torch.int64), ValueError, r"shape \[2\] .* got \[4\]"),
}


@pytest.mark.parametrize("arguments, error, message", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_bad_options_are_named(arguments, error, message, device):
    def make(value):
        if isinstance(value, torch.dtype):
            return torch.zeros(4, dtype=value, device=device)
        return torch.zeros(value, device=device) if isinstance(value, tuple) and value != (-2, 0) else value

    q = torch.zeros(2, 33, 4, 16, device=device)
    with pytest.raises(error, match=message):
        flash_attention(q, q, q, **{name: make(value) for name, value in arguments.items()})


def test_bias_gradient_needs_no_more_memory_than_the_bias():
    """A bias shared by all batches and heads: their scores together would be 64 times as large."""
    from test_flash_attention_op import peak_memory, reset_peak_memory

    q, k, v = (torch.rand(8, 1024, 8, 8, requires_grad=True) for _ in range(3))
    bias = torch.zeros(1, 1, 1024, 1024, requires_grad=True)  # 4 MiB
    flash_attention(q[:, :10], k, v, bias=bias[:, :, :10]).sum().backward()
    bias.grad = None
    reset_peak_memory("cpu")
    before = peak_memory("cpu")
    flash_attention(q, k, v, bias=bias).square().sum().backward()
    assert peak_memory("cpu") - before < 64 * 2**20
    assert bias.grad.abs().sum() > 0
