"""What the layers of a model see when it runs over calibration data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class _Stop(Exception):
    """The rest of a forward is not needed."""


class Calibration:
    """Runs a model over batches, again for each block of layers that is to be quantised.

    Args:
        model: what runs, in eval mode and without gradients.
        batches: each a mapping (keywords of the model's forward), a tuple or list (its arguments), or one
            argument. An iterator is read into memory first. Tensors are moved to the model's device.
    Raises:
        ValueError: there is no batch.
    """

    def __init__(self, model: nn.Module, batches: Iterable[Any]) -> None:
        self._model = model
        self._batches = list(batches) if isinstance(batches, Iterator) else batches
        tensors = [*model.parameters(), *model.buffers()]
        self._device = tensors[0].device if tensors else torch.device("cpu")
        if next(iter(self._batches), self) is self:
            raise ValueError("expected at least one batch of calibration data, got none")

    def calls(self, layers: Mapping[str, nn.Module]) -> list[str]:
        """The layers in the order in which the first batch calls them; one that is called twice is there twice."""
        names: list[str] = []
        with ExitStack() as stack:
            for name, layer in layers.items():
                handle = layer.register_forward_pre_hook(lambda _, __, name=name: names.append(name))
                stack.callback(handle.remove)
            self._run(next(iter(self._batches)))
        return names

    def hessians(self, layers: Mapping[str, nn.Linear], stop: nn.Module | None) -> dict[str, Tensor]:
        """Σ x·xᵀ over the inputs x of each layer, float32 `(in_features, in_features)`.

        A layer that no batch reaches is not in the result.

        Args:
            layers: whose inputs are wanted.
            stop: a module that is called after all of them, at which a forward may end.
        """
        sums: dict[str, Tensor] = {}
        last: list[Tensor] = []  # q, k and v are given the same tensor: its product serves all three

        def add(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            x = arguments[0] if arguments else keywords["input"]
            if not last or last[0] is not x:
                rows = x.reshape(-1, x.shape[-1]).float()
                with torch.autocast(x.device.type, enabled=False):  # the model's own, if it has one
                    last[:] = [x, rows.T @ rows]
            sums[name] = sums[name] + last[1] if name in sums else last[1]

        with ExitStack() as stack:
            for name, layer in layers.items():
                hook = partial(_call_with, add, name)
                stack.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
            if stop is not None:
                stack.callback(stop.register_forward_pre_hook(_stop).remove)
            for batch in self._batches:
                self._run(batch)
                last.clear()
        return sums

    @torch.no_grad()
    def _run(self, batch: Any) -> None:
        batch = self._moved(batch)
        with _evaluating(self._model):
            try:
                if isinstance(batch, Mapping):
                    self._model(**batch)
                elif isinstance(batch, tuple | list):
                    self._model(*batch)
                else:
                    self._model(batch)
            except _Stop:
                pass

    def _moved(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(self._device)
        if isinstance(value, Mapping):
            return {key: self._moved(item) for key, item in value.items()}
        if type(value) in (tuple, list):
            return type(value)([self._moved(item) for item in value])
        return value


def blocks_of(names: Sequence[str], calls: Sequence[str]) -> list[list[str]]:
    """Groups layers whose inputs are gathered in one run: those of one element of the outermost `nn.ModuleList`
    or `nn.Sequential`, such as a decoder layer; others by themselves. In the order of their first calls, those
    that were not called at the end.
    """
    first = {name: place for place, name in reversed(list(enumerate(calls)))}
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: first.get(name, len(calls))):
        parts = name.split(".")
        number = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts))
        groups.setdefault(".".join(parts[: number + 1]), []).append(name)
    return list(groups.values())


def ends_at(blocks: Sequence[Sequence[str]], calls: Sequence[str]) -> list[str | None]:
    """For each block the layer at whose call all of its own are done; None where the forward must run through."""
    ends: list[str | None] = []
    for number, block in enumerate(blocks):
        own = [place for place, name in enumerate(calls) if name in block]
        later = [place for place, name in enumerate(calls) if any(name in b for b in blocks[number + 1 :])]
        done = own and later and max(own) < min(later)
        ends.append(calls[min(later)] if done else None)
    return ends


def _call_with(add: Callable[..., None], name: str, _: nn.Module, *inputs: Any) -> None:
    add(name, *inputs)


def _stop(*_: Any) -> None:
    raise _Stop


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
