import pytest

from zeta.data.selection import Selection


@pytest.mark.parametrize(
    ("path", "include", "exclude", "wanted"),
    [
        ("a.py", (), (), True),
        ("deep/er/a.md", (), (), True),
        ("a.exe", (), (), False),
        (".git/config.txt", (), (), False),
        ("deep/__pycache__/a.py", (), (), False),
        ("a.exe", ("*.exe",), (), True),
        ("a.py", ("*.exe",), (), False),
        ("src/a.py", ("src/*",), (), True),
        ("src/deep/a.py", ("src/*",), (), True),
        ("other/src/a.py", ("src/*",), (), False),
        ("test/a.py", (), ("test",), False),
        ("deep/test/a.py", (), ("test",), False),
        ("deep/test/a.py", (), ("deep/test",), False),
        ("test/a.py", (), ("deep/test",), True),
        ("testing.py", (), ("test",), True),
        ("test_a.py", ("*.py",), ("test_*",), False),
    ],
)
def test_wants(path: str, include: tuple[str, ...], exclude: tuple[str, ...], wanted: bool) -> None:
    assert Selection(include, exclude).wants(path) is wanted


def test_an_excluded_folder_need_not_be_listed() -> None:
    assert Selection(exclude=["site-packages"]).excludes("lib/site-packages")
    assert not Selection(exclude=["site-packages"]).excludes("lib")
