"""Trains a Llama language model with Zeta under DeepSpeed ZeRO-3.

    deepspeed train.py --config ds_config.json --zeta_params "use_flash_attn=true, bitlinear_precision=4bit"

On a machine without a GPU DeepSpeed starts one rank; LOCAL_SIZE=2 in the environment starts two.
`python train.py --help` lists the other options and every key of --zeta_params.
"""

import sys

from zeta.train import main

if __name__ == "__main__":
    sys.exit(main())
