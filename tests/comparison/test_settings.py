import pytest

from resnexus import ResnexusError
from resnexus.comparison.settings import Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected at least 1"),
        ({"epochs": 2.5}, "epochs=2.5: expected a whole number"),
        ({"batch_size": True}, "batch_size=True: expected a whole number"),
        ({"batch_size": 1}, "batch_size=1: expected at least 2"),
        ({"label_smoothing": 1.5}, "label_smoothing=1.5: expected at least 0 and at most 1"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1: expected at least 0"),
    ],
)
def test_settings_out_of_range(change, message):
    with pytest.raises(ResnexusError, match=message):
        Settings(**change)


def test_the_learning_rate_follows_the_batch():
    assert Settings(batch_size=256).initial_learning_rate == 0.1
    assert Settings(batch_size=64).initial_learning_rate == 0.025
    assert Settings(batch_size=64, learning_rate=0.2).initial_learning_rate == 0.2


def test_they_are_the_published_recipe_but_for_the_batch():
    recipe = Settings(epochs=5, batch_size=64, workers=2).recipe(seed=3, precision="bf16")
    assert recipe.differences() == {
        "epochs": 5,
        "global_batch_size": 64,
        "seed": 3,
        "optim": {"lr": 0.025, "lr_batch_size": 64},
        "target": {"label_smoothing": 0.1, "mixup_alpha": 0.2},
        "step": {"precision": "bf16", "workers": 2},
    }
    assert recipe.scaled_lr == 0.025
