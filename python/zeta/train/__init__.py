"""Training under DeepSpeed ZeRO-3 with FlashAttention and BitLinear, safe against a kill at any time.

`main` is the whole program; `examples/train.py` calls it.
"""

from zeta.train.arguments import Options, parse_arguments
from zeta.train.errors import TrainError
from zeta.train.main import main
from zeta.train.params import ZetaParams, parse_zeta_params

__all__ = ["Options", "TrainError", "ZetaParams", "main", "parse_arguments", "parse_zeta_params"]
