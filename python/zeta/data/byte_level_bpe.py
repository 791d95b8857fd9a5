"""Train a byte-level BPE tokenizer and dress it as a Hugging Face folder.

Byte-level: the alphabet is the 256 bytes, so any text round-trips and no token is unknown (Radford et al.
2019, "Language Models are Unsupervised Multitask Learners", section 2.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from zeta.data.errors import DataError
from zeta.data.tokenizer_folder import TokenizerFolder

END_OF_TEXT = "<|endoftext|>"
SMALLEST_VOCABULARY = 257

# One turn after another, each under its speaker's name; an answer ends as a document does.
CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- message['role'] | capitalize + ': ' + message['content'] }}
{{- eos_token if message['role'] == 'assistant' else '\\n\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'Assistant: ' }}
{%- endif %}
"""


def train_byte_level_bpe(texts: Iterable[str], vocab_size: int) -> TokenizerFolder:
    """Learn merges from ``texts``. The same texts in any order give the same tokenizer.

    Args:
        vocab_size: the most tokens wanted, `<|endoftext|>` and the 256 bytes among them; a small text gives
            fewer.

    Raises:
        DataError: ``vocab_size`` has no room for the bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocab_size < SMALLEST_VOCABULARY:
        raise DataError(
            f"expected vocab_size ≥ {SMALLEST_VOCABULARY} (256 bytes and {END_OF_TEXT}), got {vocab_size}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return TokenizerFolder(
        {
            "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
            "tokenizer_config.json": _json(
                {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "clean_up_tokenization_spaces": False,
                    "model_max_length": int(1e30),
                    **_SPECIAL_TOKENS,
                }
            ),
            "special_tokens_map.json": _json(_SPECIAL_TOKENS),
            "chat_template.jinja": CHAT_TEMPLATE.encode(),
        }
    )


_SPECIAL_TOKENS = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
