import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnexus import ResnexusError
from resnexus.data.order import BatchOrder, Draw, EpochOrder


@given(
    images=st.integers(2, 60),
    processes=st.integers(1, 4),
    share=st.integers(2, 6),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_processes_share_an_epoch_as_one_would_have_it(images, processes, share, seed, epoch):
    size = processes * share
    alone = EpochOrder(images=images, batch_size=size, seed=seed)
    shared = EpochOrder(images=images, batch_size=size, seed=seed, processes=processes)
    whole = alone.epoch(epoch)
    assert sorted(draw.image for draw in whole) == list(range(images))
    for place in range(shared.batches):
        number = epoch * shared.batches + place
        parts = [shared.batch(number, process) for process in range(processes)]
        assert len({len(part) for part in parts}) == 1
        together = [draw for part in parts for draw in part]
        expected = whole[place * size : (place + 1) * size]
        assert together[: len(expected)] == expected
        assert set(together[len(expected) :]) <= set(whole)
        assert len(together) - len(expected) < processes


def test_epochs_and_seeds_have_orders_of_their_own():
    order = EpochOrder(images=30, batch_size=10)
    assert order.epoch(0) == order.epoch(0)
    assert [draw.image for draw in order.epoch(0)] != [draw.image for draw in order.epoch(1)]
    other = EpochOrder(images=30, batch_size=10, seed=1)
    assert [draw.image for draw in order.epoch(0)] != [draw.image for draw in other.epoch(0)]


def test_a_batch_of_one_is_left_out_and_a_smaller_one_is_not():
    assert EpochOrder(images=9, batch_size=4).batches == 2
    assert EpochOrder(images=10, batch_size=4).batches == 3
    assert len(EpochOrder(images=10, batch_size=4).batch(2)) == 2
    assert EpochOrder(images=3, batch_size=8).batches == 1


@given(images=st.integers(5, 60), processes=st.integers(1, 4), share=st.integers(2, 6), number=st.integers(0, 60))
def test_the_images_before_a_batch_are_those_that_the_processes_have_shown(images, processes, share, number):
    order = EpochOrder(images=images, batch_size=processes * share, processes=processes)
    assert order.images_before(0) == 0
    shown = order.images_before(number + 1) - order.images_before(number)
    together = sum(len(order.batch(number, process)) for process in range(processes))
    assert shown <= together < shown + processes  # what fills a batch up was shown before


def test_an_epoch_shows_every_image_but_a_rest_that_is_left_out():
    assert EpochOrder(images=10, batch_size=4).images_before(6) == 20
    assert EpochOrder(images=9, batch_size=4).images_before(4) == 16
    assert EpochOrder(images=3, batch_size=8).images_before(5) == 15


def test_repeats_show_a_part_of_the_images_several_times_each_with_its_own_draw():
    draws = EpochOrder(images=12, batch_size=4, repeats=3).epoch(0)
    assert len(draws) == 12
    assert len({draw.image for draw in draws}) == 4
    assert len(set(draws)) == 12
    assert draws[:3] == [Draw(0, draws[0].image, repeat) for repeat in range(3)]


def test_an_order_begins_anywhere_and_ends_with_its_epoch():
    order = EpochOrder(images=10, batch_size=4)
    assert list(BatchOrder(order, start=4)) == [order.batch(4), order.batch(5)]
    assert len(BatchOrder(order, start=4)) == 2
    assert list(BatchOrder(order, start=3)) == [order.batch(3), order.batch(4), order.batch(5)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": 1, "batch_size": 4}, "one image to train on"),
        ({"images": 8, "batch_size": 0}, "batch_size=0: expected at least 1"),
        ({"images": 8, "batch_size": 5, "processes": 2}, "a batch of 5 for 2 processes: expected a multiple"),
        ({"images": 8, "batch_size": 2, "processes": 2}, "two images for each at least"),
    ],
)
def test_what_cannot_be_ordered(fields, message):
    with pytest.raises(ResnexusError, match=message):
        EpochOrder(**fields)
