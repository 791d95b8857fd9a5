"""A PyTorch module as a model of zeta-server's repository: TorchScript or an AOTInductor package."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zeta.export.errors import ExportError
from zeta.export.folder import new_folder

Format = Literal["torchscript", "aoti"]

_DATATYPES = {
    torch.bool: "BOOL", torch.uint8: "UINT8", torch.int8: "INT8", torch.int16: "INT16", torch.int32: "INT32",
    torch.int64: "INT64", torch.float16: "FP16", torch.bfloat16: "BF16", torch.float32: "FP32",
    torch.float64: "FP64",
}  # fmt: skip
_PLATFORMS = {"torchscript": "pytorch_libtorch", "aoti": "torch_aoti"}


def export_repository(
    module: nn.Module, inputs: Mapping[str, Tensor], out: str | Path, *,
    format: Format = "torchscript", max_batch_size: int = 0, overwrite: bool = False,
) -> Path:  # fmt: skip
    """Write OUT/config.pbtxt, OUT/1/model.pt or model.pt2, and OUT/1/tensors.json with types and shapes.

    Args:
        module: what to serve; its `forward` takes `inputs` by name and gives a tensor, or several.
        inputs: an example of each. With `max_batch_size` their first dimension is the batch, of at least 2.
        format: TorchScript, or a package compiled for this machine's kind of processor.
        max_batch_size: requests may be batched up to that; 0: dimension 0 is like any other.
        overwrite: replace OUT if it is such a folder.
    Raises:
        ExportError: OUT exists and may not be replaced, an input is no argument of `forward` or of a type that
            has no name in KServe, an output does not have the batch's items, the module
            cannot be compiled, or what was written does not compute what the module does.
    """
    inputs = _in_order(module, inputs)
    if max_batch_size > 0:
        _check_batch(inputs)
    module = module.eval()
    with torch.inference_mode():
        results = _flatten(module(**inputs))
    outputs = {f"OUTPUT__{i}": result for i, result in enumerate(results)}
    if max_batch_size > 0:
        _check_outputs(outputs, next(iter(inputs.values())).shape[0])
    tensors = {
        "inputs": [_describe(name, value, max_batch_size) for name, value in inputs.items()],
        "outputs": [_describe(name, value, max_batch_size) for name, value in outputs.items()],
    }
    out = Path(out)
    with new_folder(out, overwrite, marker="1/tensors.json") as folder:
        (folder / "1").mkdir()
        loaded = _compile(module, inputs, folder / "1", format, max_batch_size)
        _verify(module, loaded, inputs, max_batch_size)
        (folder / "1/tensors.json").write_text(json.dumps(tensors, indent=2) + "\n")
        (folder / "config.pbtxt").write_text(_config(out.name, format, max_batch_size, tensors))
    return out


def _in_order(module: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(inspect.signature(module.forward).parameters)
    for name in inputs:
        if name not in names:
            raise ExportError(f"input '{name}' is no argument of forward, which has {', '.join(names)}")
    return {name: inputs[name] for name in names if name in inputs}


def _check_batch(inputs: Mapping[str, Tensor]) -> None:
    for name, value in inputs.items():
        if value.dim() == 0 or value.shape[0] < 2:
            raise ExportError(
                f"input '{name}': expected a batch of at least 2 items, got {list(value.shape)}"
            )


def _check_outputs(outputs: Mapping[str, Tensor], batch: int) -> None:
    for name, value in outputs.items():
        if value.dim() == 0 or value.shape[0] != batch:
            raise ExportError(
                f"'{name}': expected {batch} items, as the inputs have, got {list(value.shape)}"
            )


def _describe(name: str, value: Tensor, max_batch_size: int) -> dict[str, Any]:
    if value.dtype not in _DATATYPES:
        raise ExportError(f"'{name}' is of {value.dtype}, which has no name in KServe")
    shape = list(value.shape)
    if max_batch_size > 0:
        shape[0] = -1
    return {"name": name, "datatype": _DATATYPES[value.dtype], "shape": shape}


def _flatten(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, (tuple, list)) and result and all(isinstance(item, Tensor) for item in result):
        return list(result)
    raise ExportError(f"forward must give a tensor or a tuple of tensors, got {type(result).__name__}")


def _compile(
    module: nn.Module, inputs: dict[str, Tensor], folder: Path, format: Format, max_batch_size: int
) -> Any:
    try:
        if format == "torchscript":
            scripted = torch.jit.script(module)
            scripted.save(str(folder / "model.pt"))
            return scripted
        return _compile_package(module, inputs, folder / "model.pt2", max_batch_size)
    except Exception as error:  # torch raises whatever it meets
        raise ExportError(f"the module cannot be compiled as {format}: {_first_line(error)}") from error


def _compile_package(module: nn.Module, inputs: dict[str, Tensor], path: Path, max_batch_size: int) -> Any:
    dynamic = None
    if max_batch_size > 0:
        batch = torch.export.Dim("batch", min=1, max=max(max_batch_size, 2))
        dynamic = {name: {0: batch} for name in inputs}
    program = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=dynamic)
    torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return torch._inductor.aoti_load_package(str(path))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _verify(module: nn.Module, loaded: Any, inputs: dict[str, Tensor], max_batch_size: int) -> None:
    """At the example's batch and, as compilers treat it apart, at a batch of one."""
    examples = [inputs]
    if max_batch_size > 0:
        examples.append({name: value[:1] for name, value in inputs.items()})
    for example in examples:
        with torch.inference_mode():
            ours = _flatten(loaded(*example.values()))
            theirs = _flatten(module(**example))
        for got, expected in zip(ours, theirs, strict=True):
            try:
                torch.testing.assert_close(got, expected)
            except AssertionError as error:
                shape = [list(value.shape) for value in example.values()]
                raise ExportError(f"what was compiled computes otherwise at {shape}: {error}") from error


def _config(name: str, format: Format, max_batch_size: int, tensors: dict[str, Any]) -> str:
    first = 1 if max_batch_size > 0 else 0
    lines = [f'name: "{name}"', 'backend: "pytorch"', f'platform: "{_PLATFORMS[format]}"']
    lines.append(f"max_batch_size: {max_batch_size}")
    for kind in ("input", "output"):
        for tensor in tensors[f"{kind}s"]:
            dims = ", ".join(str(size) for size in tensor["shape"][first:])
            form = f"dims: [ {dims} ]" if dims else "dims: [ 1 ] reshape { shape: [ ] }"
            lines.append(f'{kind} {{ name: "{tensor["name"]}" data_type: TYPE_{tensor["datatype"]} {form} }}')
    if max_batch_size > 0:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"
