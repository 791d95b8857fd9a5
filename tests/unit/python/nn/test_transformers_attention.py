"""attn_implementation="zeta" against "eager" on tiny models in float64, where only rounding differs."""

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    BertConfig,
    BertModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from zeta.nn import _transformers_hook
from zeta.nn.transformers_attention import zeta_attention

# Two layers of sums of at most 97 terms in float64, each of which may cancel to a thousandth: 2 · 97 · 1000 is 2¹⁸
# roundings, with 2⁵ for the norms, softmax and residuals around them.
EXACT = {"rtol": 2**23 * torch.finfo(torch.float64).eps, "atol": 1e-12}
SIZES = dict(
    vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
MODELS = {
    "llama": lambda: (LlamaForCausalLM, LlamaConfig(**SIZES)),
    "mistral window": lambda: (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=5)),
    "qwen2 mixed": lambda: (
        Qwen2ForCausalLM,
        Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=5, max_window_layers=1),
    ),
    "gemma2 softcap": lambda: (
        Gemma2ForCausalLM,
        Gemma2Config(**SIZES, head_dim=8, sliding_window=5, attn_logit_softcapping=0.5),
    ),
    "gpt-oss sinks": lambda: (
        GptOssForCausalLM,
        GptOssConfig(
            **SIZES,
            head_dim=8,
            sliding_window=5,
            num_local_experts=2,
            num_experts_per_tok=1,
            experts_implementation="eager",
        ),  # fmt: skip
    ),
}
TOKENS = torch.randint(3, 97, (3, 12), generator=torch.Generator().manual_seed(5))
PADDED = {
    "none": None,
    "left": torch.arange(12) >= torch.tensor([[0], [4], [11]]),
    "right": torch.arange(12) < torch.tensor([[12], [7], [1]]),
}


def pair(make, device="cpu", **options):
    """The same weights with eager and with zeta attention."""
    kind, config = make()
    torch.manual_seed(6)
    eager = kind._from_config(config, attn_implementation="eager", **options).double().eval()
    ours = kind._from_config(config, attn_implementation="zeta", **options).double().eval()
    ours.load_state_dict(eager.state_dict())
    assert ours.config._attn_implementation == "zeta"
    return eager.to(device), ours.to(device)


class AttentionCalls(TorchDispatchMode):
    """Records (mask, causal) of each call of the op."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.zeta.flash_attention_forward.default:
            self.seen.append((args[3], args[5]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("padding", PADDED)
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_equal_eager(name, padding, device):
    tokens = TOKENS.to(device)
    mask = None if PADDED[padding] is None else PADDED[padding].to(device)
    real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
    logits, grads = [], []
    for model in pair(MODELS[name], device):
        model.train()
        out = model(tokens, attention_mask=None if mask is None else mask.long()).logits[real]
        out.square().mean().backward()
        logits.append(out)
        grads.append({n: p.grad for n, p in model.named_parameters()})
    torch.testing.assert_close(logits[1], logits[0], **EXACT)
    torch.testing.assert_close(grads[1], grads[0], **EXACT)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("name", MODELS)
def test_generation_with_cache_equals_eager(name, cache, device):
    tokens = []
    for model in pair(MODELS[name], device):
        mask = PADDED["left"].long().to(device)
        options = dict(max_new_tokens=12, do_sample=False, cache_implementation=cache, disable_compile=True)
        tokens.append(model.generate(TOKENS.to(device), attention_mask=mask, eos_token_id=None, **options))
    assert tokens[0].shape == (3, 24)
    assert torch.equal(tokens[0], tokens[1])


@pytest.mark.parametrize("name", MODELS)
def test_prefill_in_chunks_equals_eager(name):
    logits = []
    for model in pair(MODELS[name]):
        first = model(TOKENS[:, :5], use_cache=True)
        logits.append(model(TOKENS[:, 5:], past_key_values=first.past_key_values).logits)
    torch.testing.assert_close(logits[1], logits[0], **EXACT)


def test_packed_sequences_do_not_see_each_other():
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3]]).expand(3, -1)
    _, ours = pair(MODELS["llama"])
    packed = ours(TOKENS, position_ids=positions, use_cache=False).logits  # a cache switches packing off
    apart = [ours(piece).logits for piece in TOKENS.split([5, 3, 4], 1)]
    torch.testing.assert_close(packed, torch.cat(apart, 1), **EXACT)


def test_training_without_padding_builds_no_mask():
    _, ours = pair(MODELS["llama"])
    with AttentionCalls() as calls:
        ours.train()(TOKENS, attention_mask=torch.ones_like(TOKENS))
    assert calls.seen == [(None, True)] * 2


def test_encoder_equals_eager():
    config = BertConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    eager, ours = pair(lambda: (BertModel, config))
    for padding in (None, PADDED["right"]):
        real = torch.ones_like(TOKENS, dtype=torch.bool) if padding is None else padding
        mask = None if padding is None else padding.long()
        want, got = (m(TOKENS, attention_mask=mask).last_hidden_state[real] for m in (eager, ours))
        torch.testing.assert_close(got, want, **EXACT)


def test_dropout_drops_in_training_only():
    _, ours = pair(lambda: (LlamaForCausalLM, LlamaConfig(**SIZES, attention_dropout=0.1)))
    with torch.no_grad():
        want = ours(TOKENS).logits
        assert torch.equal(ours(TOKENS).logits, want)
        first, second = (ours.train()(TOKENS).logits for _ in range(2))
        assert not torch.equal(first, second)
        torch.manual_seed(1)
        third = ours(TOKENS).logits
        torch.manual_seed(1)
        assert torch.equal(ours(TOKENS).logits, third)


def test_encoder_and_decoder_with_position_bias_equal_eager():
    config = T5Config(
        vocab_size=97, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0,
        dropout_rate=0.0,
    )  # fmt: skip
    results = []
    for model in pair(lambda: (T5ForConditionalGeneration, config)):
        out = model(TOKENS, attention_mask=PADDED["right"].long(), labels=TOKENS)
        out.loss.backward()
        results.append((out.logits, {n: p.grad for n, p in model.named_parameters()}))
    torch.testing.assert_close(results[1][0], results[0][0], **EXACT)
    torch.testing.assert_close(results[1][1], results[0][1], **EXACT)


def test_what_selects_keys_is_refused():
    q = torch.zeros(1, 2, 3, 8)
    with pytest.raises(NotImplementedError, match="Linear needs block_indices"):
        zeta_attention(torch.nn.Linear(1, 1), q, q, q, None, block_indices=torch.zeros(1))


def test_float_mask_is_refused():
    _, ours = pair(MODELS["llama"])
    with pytest.raises(TypeError, match="expected a bool mask"):
        ours(TOKENS, attention_mask=torch.zeros(3, 1, 12, 12, dtype=torch.float64))


REGISTRIES = (AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping)


def test_registered_where_transformers_came_first(monkeypatch):
    for registry in REGISTRIES:
        monkeypatch.delitem(registry, "zeta")
    _transformers_hook.install()
    assert all("zeta" in registry for registry in REGISTRIES)


def test_registered_where_transformers_comes_later():
    check = (
        "import sys, zeta.nn; assert 'transformers' not in sys.modules\n"
        "from transformers import AttentionInterface, AttentionMaskInterface\n"
        "assert 'zeta' in AttentionInterface._global_mapping\n"
        "assert 'zeta' in AttentionMaskInterface._global_mapping"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
