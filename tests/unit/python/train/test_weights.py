"""The groups that an optimizer gets, and the size of a model."""

from torch import nn

from zeta.train.weights import count_parameters, parameter_groups


class Tied(nn.Module):
    """An output layer that shares its weight with the embedding, as in a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm, self.linear = nn.Embedding(10, 4), nn.LayerNorm(4), nn.Linear(4, 6)
        self.output = nn.Linear(4, 10, bias=False)
        self.output.weight = self.embedding.weight


def test_only_matrices_decay_and_no_embedding() -> None:
    model = Tied()
    decay, keep = parameter_groups(model, 0.1)
    assert decay["weight_decay"] == 0.1 and keep["weight_decay"] == 0.0
    assert decay["params"] == [model.linear.weight]
    kept = [model.embedding.weight, model.norm.weight, model.norm.bias, model.linear.bias]
    assert {id(p) for p in keep["params"]} == {id(p) for p in kept}


def test_a_group_that_would_be_empty_is_left_out() -> None:
    (keep,) = parameter_groups(nn.LayerNorm(4), 0.1)
    assert keep["weight_decay"] == 0.0


def test_a_partitioned_weight_counts_whole() -> None:
    linear = nn.Linear(4, 6)
    whole = linear.weight.shape
    linear.weight = nn.Parameter(linear.weight.detach().flatten()[:0])  # what ZeRO-3 leaves on a rank
    linear.weight.ds_shape = whole
    assert count_parameters(linear) == 30
    (decay, keep) = parameter_groups(linear, 0.1)
    assert decay["params"] == [linear.weight] and keep["params"] == [linear.bias]
    assert count_parameters(Tied()) == 10 * 4 + 2 * 4 + 4 * 6 + 6
