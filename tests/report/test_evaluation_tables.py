from dataclasses import replace

import pytest

from resnexus.evaluation.corruptions.table import CORRUPTIONS
from resnexus.evaluation.intervals import share
from resnexus.report.evaluation_record import Corrupted
from resnexus.report.evaluation_tables import (
    accuracy_table,
    calibration_table,
    class_table,
    confusion_table,
    corruption_errors_against,
    corruption_table,
    p_value,
    variation_table,
    worst_classes,
)
from resnexus.report.table import to_csv, to_markdown
from tests.report.evaluated import build


def texts(table):
    return [[entry.text for entry in row] for row in table.rows]


def of_six_classes():
    return build(images=replace(build().images, competing=6))


def test_accuracy_stands_beside_what_was_published():
    table = accuracy_table(of_six_classes())
    assert texts(table) == [
        ["top-1", "66.67", "30.00 to 90.32", "4", "6", "73.33", "−6.66"],
        ["top-5", "100.00", "60.97 to 100.00", "6", "6", "91.38", "+8.62"],
        ["top-1, ReaL labels", "80.00", "37.55 to 96.38", "4", "5", "–", "–"],
    ]
    assert table.data[0]["published"] == 0.7333


def test_without_published_figures_there_are_no_columns_for_them():
    record = build()
    own = build(network=type(record.network)(name="own", architecture="own", weights_sha256="1" * 64), real=None)
    assert [column.title for column in accuracy_table(own).columns][-1] == "Images"
    assert texts(accuracy_table(own)) == [["top-1", "66.67", "30.00 to 90.32", "4", "6"]]


def test_the_top_five_of_five_classes_or_fewer_are_not_praised():
    for competing, said in ((3, False), (5, False), (6, True)):
        record = build(images=replace(build().images, competing=competing))
        accuracy, sizes = accuracy_table(record), variation_table(record, "size", "")
        assert ("top-5" in [row[0] for row in texts(accuracy)]) == said
        assert ("Top-5" in [column.title for column in sizes.columns]) == said
        assert {len(row) for row in sizes.rows} == {len(sizes.columns)}


def test_classes_and_confusions():
    record = build()
    assert texts(class_table(record.classes, "classes", "")) == [
        ["cat", "66.7", "20.8 to 93.9", "2", "3", "<dog>", "1"],
        ["<dog>", "66.7", "20.8 to 93.9", "2", "3", "pig", "1"],
    ]
    assert texts(confusion_table(record)) == [["cat", "<dog>", "1", "33.3"], ["<dog>", "pig", "1", "33.3"]]
    assert "&lt;dog&gt;" in to_markdown(confusion_table(record))
    assert "<dog>,pig,1,0.333" in to_csv(confusion_table(record))
    assert worst_classes(record, 1).caption == "The 1 class known least"


def test_variations_of_each_kind():
    table = variation_table(of_six_classes(), "size", "")
    assert texts(table) == [
        ["as evaluated", "256, 224", "66.67", "30.00 to 90.32", "100.00", "–", "–", "–"],
        ["288 pixels", "329, 288", "50.00", "18.76 to 81.24", "100.00", "−16.67", "1, 2", "< 0.001"],
    ]
    assert texts(variation_table(build(), "sensitivity", ""))[1][-3:] == ["–", "–", "–"]
    assert variation_table(build(variations=()), "size", "") is None


def test_corruptions_by_severity_and_their_means():
    table = corruption_table(build())
    assert texts(table) == [
        ["gaussian noise", "noise", "50.0", "16.7", "33.3"],
        ["fog", "weather", "66.7", "33.3", "50.0"],
    ]
    assert "The mean top-1 over all of these is 41.7 %, the mean error 58.3 %" in table.remarks[0]
    assert len(table.data) == 4
    assert corruption_table(build(corruptions=())) is None


def test_errors_under_corruptions_against_another_network():
    other = replace(build().against, corruption_errors={"gaussian_noise": 0.8, "fog": 1.1})
    table = corruption_table(build(against=other))
    assert table.columns[-1].title == "Error over other.safetensors's"
    assert [row[-1] for row in texts(table)] == ["80.0", "110.0"]
    assert corruption_errors_against(build(), other) == [
        "Mean corruption error 95.0 % of that of other.safetensors (over 2 corruptions, not the benchmark's fifteen at "
        "five severities)."
    ]
    one = replace(other, corruption_errors={"fog": 1.1})
    assert [row[-1] for row in texts(corruption_table(build(against=one)))] == ["–", "110.0"]
    assert (
        "was not evaluated under these corruptions with the same seed"
        in corruption_errors_against(build(), build().against)[0]
    )
    assert corruption_errors_against(build(corruptions=()), other) == []


def test_the_mean_over_the_whole_benchmark_is_its_mce():
    names = [row.name for row in CORRUPTIONS.values() if not row.extra]
    corruptions = tuple(
        Corrupted(name=name, family="noise", severity=severity, top1=share(1, 2), top5=share(2, 2))
        for name in names
        for severity in range(1, 6)
    )
    other = replace(build().against, corruption_errors=dict.fromkeys(names, 0.9))
    assert (
        "Mean corruption error 90.0 % of that of other.safetensors (the benchmark's mCE, but with this baseline"
        in (corruption_errors_against(build(corruptions=corruptions), other)[0])
    )


def test_bins_without_images_have_no_figures():
    rows = texts(calibration_table(build()))
    assert len(rows) == 15
    assert rows[0] == ["0.000 to 0.067", "0", "–", "–"]
    assert sum(int(row[1]) for row in rows) == 6


@pytest.mark.parametrize(("value", "text"), [(0.0004, "< 0.001"), (0.0012, "0.001"), (1.0, "1.000")])
def test_probabilities(value, text):
    assert p_value(value) == text
