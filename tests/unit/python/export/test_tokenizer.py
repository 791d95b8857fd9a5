"""Which chat templates pass; what is wrong with a tokenizer is in test_export.py."""

from pathlib import Path

import pytest
from tiny_model import write_tokenizer

from zeta.export.tokenizer import check_tokenizer


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{% for message in messages %}{{ message['content'] }}{% endfor %}",
        "{{ raise_exception('a system message must come first') }}",
        "{{ tools[0].name }}",
        "{% for message in messages %}{% generation %}{{ message }}{% endgeneration %}{% break %}{% endfor %}",
    ],
)
def test_a_template_that_parses_passes(tmp_path: Path, template: str) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "chat_template.jinja").write_text(template)
    check_tokenizer(tmp_path / "tokenizer", 10_000)
