"""What tests of several parts share."""

import pytest


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Every device that an operator runs on; the GPU is skipped where there is none."""
    if request.param == "cuda":
        import torch  # late: most tests that pytest collects beside this file need none

        if not torch.cuda.is_available():
            pytest.skip("no GPU that CUDA can use")
    return request.param
