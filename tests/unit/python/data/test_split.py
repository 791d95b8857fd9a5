import hashlib

import pytest

from zeta.data.documents import Document
from zeta.data.errors import DataError
from zeta.data.split import split_by_hash, split_by_input


def document(content: str, name: str | None = None) -> Document:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Document(f"file:///{name or content}", len(content), digest, 0, name or content)


MANY = [document(f"text {number}") for number in range(2000)]


@pytest.mark.parametrize("fraction", [0.05, 0.3])
@pytest.mark.parametrize("seed", [0, 7])
def test_holds_out_about_the_fraction(fraction: float, seed: int) -> None:
    splits = split_by_hash(MANY, fraction, seed)
    assert len(splits["train"]) + len(splits["validation"]) == len(MANY)
    # Five standard deviations of a binomial.
    tolerance = 5 * (fraction * (1 - fraction) / len(MANY)) ** 0.5
    assert abs(len(splits["validation"]) / len(MANY) - fraction) < tolerance


def test_side_depends_on_content_and_seed_alone() -> None:
    all_of_them = split_by_hash(MANY, 0.1, 0)["validation"]
    of_half = split_by_hash(MANY[1000:][::-1], 0.1, 0)["validation"]
    assert {item.uri for item in of_half} == {item.uri for item in all_of_them} & {
        item.uri for item in MANY[1000:]
    }
    renamed = [document(f"text {number}", f"other-{number}") for number in range(2000)]
    assert [item.sha256 for item in split_by_hash(renamed, 0.1, 0)["validation"]] == [
        item.sha256 for item in all_of_them
    ]
    assert split_by_hash(MANY, 0.1, 1)["validation"] != all_of_them


def test_equal_documents_land_on_one_side() -> None:
    twice = [document(f"text {number}", f"{copy}-{number}") for number in range(100) for copy in "ab"]
    splits = split_by_hash(twice, 0.5, 0)
    assert not {item.sha256 for item in splits["train"]} & {item.sha256 for item in splits["validation"]}


def test_a_small_corpus_still_has_validation() -> None:
    assert len(split_by_hash(MANY[:3], 0.001, 0)["validation"]) == 1


def test_a_single_document_is_trained_on() -> None:
    assert split_by_hash(MANY[:1], 0.001, 0) == {"train": MANY[:1], "validation": []}


def test_fraction_zero_holds_out_nothing() -> None:
    assert split_by_hash(MANY, 0, 0) == {"train": MANY, "validation": []}


def test_given_validation_is_not_trained_on_under_any_name() -> None:
    held_out = [document("same", "held-out")]
    splits = split_by_input([document("same", "copy"), document("other")], held_out)
    assert splits == {"train": [document("other")], "validation": held_out}


def test_nothing_left_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="no document is left to train on \\(1 held out\\)"):
        split_by_input([document("same", "copy")], [document("same", "held-out")])
