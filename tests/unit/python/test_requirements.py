"""What pyproject.toml asks for is what the tests run with."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != "zeta"]


def test_lowest_versions_are_the_pinned_ones() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for requirement in asked():
        (bound,) = requirement.specifier
        have, want = pinned[requirement.name].split("."), bound.version.split(".")
        assert bound.operator in (">=", "==") and have[:2] == want[:2], requirement
