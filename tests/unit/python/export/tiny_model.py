"""A Llama small enough to test with, and its tokenizer of single bytes."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCAB_SIZE = 257
EOS = 256
CASES = ("1.58bit,fp32", "1.58bit,bf16", "4bit,fp32", "4bit,bf16", "fp8,fp32", "fp8,bf16", "w4a8,fp32")


def tiny_config(**changes: object) -> LlamaConfig:
    shape = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": EOS,
    }
    return LlamaConfig(**(shape | changes))


def tiny_model(config: LlamaConfig, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(config).eval()


def write_tokenizer(folder: Path) -> None:
    """A tokenizer whose ids are the 256 byte symbols, and one end-of-text token."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", chat_template=template)
    fast.save_pretrained(folder)


def write_zeta(folder: Path, precision: str, group_size: int = 128, dtype: str = "fp32") -> None:
    facts = {"precision": precision, "group_size": group_size, "use_flash_attn": False, "dtype": dtype}
    (folder / "zeta.json").write_text(json.dumps(facts | {"step": 1, "tokens": 1}))
