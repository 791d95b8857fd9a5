"""Real text that lies on every machine of the project: Python source, split by package.

    tools/run python bench/quality/corpus.py FOLDER

The tokenizer (4096 byte-level BPE tokens) is learnt from what is trained on. FOLDER gets the token shards of
`zeta.data`, and `train.bin`, `validation.bin` (uint16, end to end) and `corpus.json`, which are all that
`quality.py` reads.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from zeta.data import TokenShards
from zeta.data.options import PrepareOptions
from zeta.data.prepare import prepare
from zeta.data.progress import Progress
from zeta.data.selection import Selection
from zeta.data.standard_library import LEFT_OUT, standard_library

VOCAB_SIZE = 4096
TRAIN = ("accelerate", "deepspeed", "fontTools", "gevent", "huggingface_hub", "hypothesis", "matplotlib",
         "mpmath", "networkx", "numpy", "pyarrow", "pydantic", "_pytest", "setuptools", "torchgen")  # fmt: skip
VALIDATION = ("aiohttp", "click", "fsspec", "jinja2", "PIL")
_VENDORED = ("_vendor", "vendor", "_vendored_packages")  # copies of packages that may be held out


def _folder(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"package {package} is not installed: run `make setup`")
    return spec.submodule_search_locations[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    options = PrepareOptions(
        inputs=[str(standard_library()), *map(_folder, TRAIN)],
        output=str(folder / "shards"),
        validation_inputs=[_folder(package) for package in VALIDATION],
        vocab_size=VOCAB_SIZE,
        selection=Selection(["*.py"], [*LEFT_OUT, *_VENDORED]),
        max_file_size=256 * 2**10,  # what is larger is a table
    )
    print(prepare(options, Progress(sys.stderr)))
    shards = TokenShards(folder / "shards", cache_folder=folder / "cache")
    for split in ("train", "validation"):
        shards.tokens(split).astype("<u2").tofile(folder / f"{split}.bin")
    facts = {"vocab_size": shards.vocab_size, "tokens": shards.manifest.tokens,
             "fingerprint": shards.manifest.fingerprint, "python": sys.version.split()[0]}  # fmt: skip
    (folder / "corpus.json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
