"""What the architecture says that a model consists of: names, shapes, and which of its layers are packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from zeta.export.errors import ExportError

_REFUSALS = (StrictDataclassError, ValueError, KeyError, TypeError, AttributeError, OSError, RuntimeError)
_COMPUTED = ".inv_freq"  # old folders store what transformers computes


@dataclass(frozen=True)
class Skeleton:
    """A model without its weights.

    Attributes:
        architecture: its class in transformers.
        shapes: the tensors that a folder of it stores, in the model's order; of tied ones only the owner.
        tied: the others of these, which a folder may store too.
        linear: names of the linear layers that are packed: all but the output layer.
        head: the name of the output layer.
        embeddings: tensors of `shapes` that embed tokens or score them.
        vocab_size: rows of the embedding.
    """

    architecture: str
    shapes: dict[str, torch.Size]
    tied: frozenset[str]
    linear: frozenset[str]
    head: str
    embeddings: frozenset[str]
    vocab_size: int


def read_skeleton(folder: Path) -> Skeleton:
    """Build the model that `folder`'s config.json describes, without memory for its weights.

    Raises:
        ExportError: transformers knows no such causal language model.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    except _REFUSALS as error:
        line = " ".join(str(error).split())
        raise ExportError(f"{folder}/config.json: transformers cannot build this model: {line}") from error
    return _describe(model)


def _describe(model: PreTrainedModel) -> Skeleton:
    output = model.get_output_embeddings()
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    embeddings = {name for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    head = next(name for name, module in model.named_modules() if module is output)
    return Skeleton(
        architecture=type(model).__name__,
        shapes={k: v.shape for k, v in model.state_dict().items() if k not in model.all_tied_weights_keys},
        tied=frozenset(model.all_tied_weights_keys),
        linear=frozenset(linear - {head}),
        head=head,
        embeddings=frozenset(f"{name}.weight" for name in embeddings | {head}),
        vocab_size=model.get_input_embeddings().num_embeddings,
    )


def check_weights(folder: Path, skeleton: Skeleton, shapes: Mapping[str, torch.Size]) -> None:
    """Check that `shapes`, what a folder stores, is what its architecture needs.

    Raises:
        ExportError: names the first tensor that is missing, has another shape, or has no place.
    """
    for name, shape in skeleton.shapes.items():
        if name not in shapes:
            raise ExportError(
                f"{folder}: has no {name}, which {skeleton.architecture} of its config.json needs"
            )
        if shapes[name] != shape:
            raise ExportError(
                f"{folder}: {name} is {list(shapes[name])}, but config.json makes it {list(shape)}"
            )
    for name in shapes:
        if name not in skeleton.shapes and name not in skeleton.tied and not name.endswith(_COMPUTED):
            raise ExportError(
                f"{folder}: holds {name}, for which {skeleton.architecture} of its config.json has no place"
            )
