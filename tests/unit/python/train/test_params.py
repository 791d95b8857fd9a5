import pytest

from zeta.train import TrainError, ZetaParams, parse_zeta_params
from zeta.train.params import zeta_params_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ZetaParams()),
        (
            "use_flash_attn=true, bitlinear_precision=4bit",
            ZetaParams(use_flash_attn=True, bitlinear_precision="4bit"),
        ),
        (" use_flash_attn = No ,", ZetaParams(use_flash_attn=False)),
        ("bitlinear_precision=1.58BIT", ZetaParams(bitlinear_precision="1.58bit")),
        ("hidden_size=64,seq_len=2", ZetaParams(hidden_size=64, seq_len=2)),
        ("tie_embeddings=off,dtype=bf16", ZetaParams(tie_embeddings=False, dtype="bf16")),
    ],
)
def test_parses(text: str, expected: ZetaParams) -> None:
    assert parse_zeta_params(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("use_flash_atn=true", ["'use_flash_atn'", "did you mean use_flash_attn?"]),
        ("colour=red", ["'colour'", "bitlinear_precision", "use_flash_attn"]),
        ("use_flash_attn", ["key=value", "'use_flash_attn'"]),
        ("use_flash_attn=maybe", ["use_flash_attn", "true|false", "'maybe'"]),
        (
            "bitlinear_precision=3bit",
            ["bitlinear_precision", "none|1bit|1.58bit|2bit|4bit|w4a8|8bit|fp8", "'3bit'"],
        ),
        ("hidden_size=0", ["hidden_size", "≥ 1", "'0'"]),
        ("hidden_size=-8", ["hidden_size", "'-8'"]),
        ("num_layers=2.5", ["num_layers", "integer", "'2.5'"]),
        ("seq_len=1", ["seq_len", "≥ 2", "'1'"]),
        ("dtype=fp16", ["dtype", "auto|fp32|bf16", "'fp16'"]),
        ("seq_len=8, seq_len=9", ["seq_len", "twice"]),
    ],
)
def test_names_what_is_wrong(text: str, words: list[str]) -> None:
    with pytest.raises(TrainError) as caught:
        parse_zeta_params(text)
    message = str(caught.value)
    assert "\n" not in message
    for word in ["--zeta_params", *words]:
        assert word in message


def test_table_has_a_line_for_every_key() -> None:
    keys = [line.split()[0] for line in zeta_params_table().splitlines()]
    assert keys == ["key", *vars(ZetaParams())]
