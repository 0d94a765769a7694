from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnexus.report.placement import place, text_width

SIZE = (300.0, 200.0)


def box(label, text, font_size):
    width, height = text_width(text, font_size), 1.2 * font_size
    left = {"left": label.x, "center": label.x - width / 2, "right": label.x - width}[label.align]
    return left, label.y - height / 2, left + width, label.y + height / 2


def overlap(one, other):
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]


def test_a_lonely_label_stands_close_on_the_right():
    (label,) = place([(100.0, 100.0)], ["50"], [], size=SIZE, font_size=10)
    assert (label.x, label.y, label.align, label.lead) == (107.0, 100.0, "left", None)


def test_at_the_right_edge_it_stands_on_the_left():
    (label,) = place([(295.0, 100.0)], ["ResNet50"], [], size=SIZE, font_size=10)
    assert (label.align, label.x) == ("right", 288.0)


def test_it_gets_out_of_the_way_of_a_line():
    (label,) = place([(100.0, 100.0)], ["50"], [(100.0, 100.0, 200.0, 100.0)], size=SIZE, font_size=10)
    assert label.align != "left" or abs(label.y - 100) > 6


def test_labels_of_one_spot_lie_apart_and_far_ones_have_a_lead():
    points, texts = [(150.0 + i, 100.0) for i in range(9)], ["ResNeXt"] * 9
    labels = place(points, texts, [], size=SIZE, font_size=10)
    assert None not in labels
    boxes = [box(label, text, 10) for label, text in zip(labels, texts, strict=True)]
    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    assert any(label.lead for label in labels)


def test_no_room_means_no_label():
    labels = place([(5.0, 5.0)] * 30, ["a long name"] * 30, [], size=(70.0, 30.0), font_size=10)
    assert 0 < sum(label is not None for label in labels) < 5


def test_empty_texts_get_none():
    assert place([(5.0, 5.0), (50.0, 50.0)], ["", "a"], [], size=SIZE, font_size=10)[0] is None
    assert place([], [], [], size=SIZE, font_size=10) == []


@given(
    st.lists(
        st.tuples(st.floats(0, 300), st.floats(0, 200), st.text("abXY_0", max_size=12)),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None)
def test_labels_never_overlap_or_leave_the_plot(rows):
    points, texts = [(x, y) for x, y, _ in rows], [text for *_, text in rows]
    labels = place(points, texts, [], size=SIZE, font_size=9)
    boxes = [box(label, text, 9) for label, text in zip(labels, texts, strict=True) if label]
    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    for left, top, right, bottom in boxes:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= 300 + 1e-6
        assert bottom <= 200 + 1e-6


@pytest.mark.parametrize(("narrow", "wide"), [("iii", "mmm"), ("abc", "ABC"), ("ab", "abc")])
def test_text_width_knows_the_letters(narrow, wide):
    assert text_width(narrow, 10) < text_width(wide, 10)
