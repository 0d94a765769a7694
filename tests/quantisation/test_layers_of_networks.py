import numpy as np
import pytest

from resnexus import ResnexusError
from resnexus.quantisation.layers import layers_of, operations_of
from resnexus.rewrites.table import free, rewritten


@pytest.fixture(scope="module")
def moved(tiny):
    return rewritten(tiny, free(tiny.architecture))


def arrays(network):
    return {
        f"op{place}": network.get_parameter(f"{layer.name}.weight").detach().numpy()
        for place, layer in enumerate(layers_of(network))
    }


def test_gates_are_told_from_the_last_layer(tiny, moved):
    for network in (tiny, moved):
        gates = [layer.name for layer in layers_of(network) if layer.gate]
        assert {name.rpartition(".")[2] for name in gates} == {"squeeze", "excite"}
        assert len(gates) == 4
        assert [layer.name for layer in layers_of(network)][-1] == "head"


def test_layers_are_found_by_their_weights_in_any_order_and_shape(moved):
    found = arrays(moved)
    shuffled = dict(sorted(found.items(), reverse=True))
    shuffled = {
        name: array.T if array.ndim == 2 else array.reshape(2, -1, *array.shape[1:]) for name, array in shuffled.items()
    }
    expected = {layer.name: f"op{place}" for place, layer in enumerate(layers_of(moved))}
    assert operations_of(moved, layers_of(moved), shuffled) == expected


def test_equal_weights_are_taken_in_their_order(moved):
    layers = layers_of(moved)
    first, *rest = layers
    twice = [first, first]
    weight = moved.get_parameter(f"{first.name}.weight").detach().numpy()
    assert operations_of(moved, [first], {"b": weight, "a": weight}) == {first.name: "b"}
    with pytest.raises(ResnexusError, match=f"no operation of the graph has the weights of {rest[0].name}: it cannot"):
        operations_of(moved, [*twice[:1], rest[0]], {"b": weight, "a": weight})
    assert not np.array_equal(weight, moved.get_parameter(f"{rest[0].name}.weight").detach().numpy())
