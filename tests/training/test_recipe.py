"""A recipe is plain values in their ranges."""

import math

import pytest

from resnexus import ResnexusError
from resnexus.records import from_json, to_json
from resnexus.series.checkpoints import checkpoints
from resnexus.training.recipe import Recipe


def test_the_published_recipes_share_the_defaults():
    for record in checkpoints().values():
        if record.recipe is not None:
            assert (record.recipe.batch_size, record.recipe.learning_rate, record.recipe.momentum) == (256, 0.1, 0.9)
            assert from_json(Recipe, to_json(record.recipe), "recipe") == record.recipe


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"epochs": 0}, "epochs=0: expected at least 1"),
        ({"momentum": 1.5}, "momentum=1.5: expected at least 0 and at most 1"),
        ({"weight_decay": math.nan}, "weight_decay=nan: expected at least 0"),
        ({"learning_rate": math.inf}, "learning_rate=inf: expected at least 0"),
    ],
)
def test_a_value_outside_its_range_is_refused(fields, message):
    with pytest.raises(ResnexusError, match=message):
        Recipe(**({"epochs": 1} | fields))
