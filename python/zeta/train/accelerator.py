"""What kind of processor this run computes on: DeepSpeed's choice, which DS_ACCELERATOR overrides."""


def on_gpu() -> bool:
    """Whether weights and activations lie on a GPU."""
    from deepspeed.accelerator import get_accelerator  # late: it takes seconds, and --help needs none

    return get_accelerator().device_name() != "cpu"
