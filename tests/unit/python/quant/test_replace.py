"""replace_linear on a Llama of transformers and on modules of all sorts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from zeta.quant import BitLinear, replace_linear


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )


def test_llama_keeps_its_parameters_and_trains() -> None:
    model = tiny_llama()
    before = dict(model.named_parameters())
    report = replace_linear(model, "4bit", group_size=32)
    assert len(report) == 14 and report[0][:3] == ("model.layers.0.self_attn.q_proj", 32, 32)
    assert (report[0].bytes_before, report[0].bytes_after) == (32 * 32 * 4, 32 * 32 // 2 + 32 * 2)
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert type(model.lm_head) is nn.Linear
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert sum(isinstance(module, BitLinear) for module in model.modules()) == 14
    ids = torch.arange(16).reshape(2, 8)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_patterns_choose_layers() -> None:
    model = tiny_llama()
    report = replace_linear(model, include=["layers.1.mlp.*", "q_proj"], exclude=["down_proj", "layers.0"])
    assert [layer.name for layer in report] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.gate_proj",
        "model.layers.1.mlp.up_proj",
    ]


def test_lm_head_is_left_out_wherever_it_is() -> None:
    wrapped = nn.ModuleDict({"policy": tiny_llama()})
    assert not any("lm_head" in layer.name for layer in replace_linear(wrapped))


def test_shared_modules_dtype_and_hooks_stay() -> None:
    shared = nn.Linear(16, 16, dtype=torch.bfloat16)
    calls: list[int] = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    model = nn.Sequential(shared, shared)
    assert len(replace_linear(model)) == 1
    assert model[0] is model[1] and model(torch.zeros(1, 16, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert len(calls) == 2


def test_subclasses_are_left_alone() -> None:
    attention = nn.MultiheadAttention(16, 2)  # its out_proj is a subclass that is never called
    with pytest.raises(ValueError, match=r"no nn.Linear to replace in MultiheadAttention: it has 0"):
        replace_linear(attention)


@torch.no_grad()
def test_encoder_layers_infer_what_they_train() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0, batch_first=True)
    model = nn.TransformerEncoder(layer, num_layers=2)
    replace_linear(model, "4bit", group_size=32)
    x, padding = torch.randn(2, 5, 32), torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    # torch's attention still differs by fp32 roundings; unquantised weights would by 1e-2.
    torch.testing.assert_close(model.train()(x), model.eval()(x))
    kept = ~padding
    trained = model.train()(x, src_key_padding_mask=padding)
    inferred = model.eval()(x, src_key_padding_mask=padding)
    torch.testing.assert_close(trained[kept], inferred[kept])


def test_nothing_matched_says_what_there_is() -> None:
    with pytest.raises(
        ValueError, match=r"it has 15 \(model.layers.0.self_attn.q_proj, .*include=\('nothing',\)"
    ):
        replace_linear(tiny_llama(), include=["nothing"])


def test_an_error_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 64))
    with pytest.raises(ValueError, match="1: expected in_features to be a multiple of group_size 32, got 48"):
        replace_linear(model, "4bit", group_size=32)
    assert all(type(layer) is nn.Linear for layer in model)
    with pytest.raises(ValueError, match="did you mean '4bit'"):
        replace_linear(model, "4-bit")
    with pytest.raises(TypeError, match="expected an nn.Linear, got ReLU"):
        BitLinear.from_linear(nn.ReLU())
