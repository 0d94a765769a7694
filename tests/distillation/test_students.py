"""How long a baseline is trained: as many steps as the student in all its stages."""

from hypothesis import given
from hypothesis import strategies as st

from resnexus.data.order import EpochOrder
from resnexus.distillation.students import as_many_steps, batches
from resnexus.training.recipe import Recipe


@given(images=st.integers(2, 500), size=st.integers(2, 64), epochs=st.integers(1, 9))
def test_steps_are_those_of_the_order(images, size, epochs):
    recipe = Recipe(epochs=epochs, global_batch_size=size)
    assert batches(images, recipe) == epochs * EpochOrder(images=images, batch_size=size).batches


@given(steps=st.integers(1, 5000), images=st.integers(2, 500), size=st.integers(2, 64))
def test_the_baseline_makes_as_many_steps_and_less_than_an_epoch_more(steps, images, size):
    recipe = Recipe(epochs=3, global_batch_size=size)
    epochs = as_many_steps(steps, images, recipe)
    one = batches(images, recipe) // 3
    assert epochs * one - one < steps <= epochs * one
