from dataclasses import replace

import pytest

from resnexus.report.dense.findings import caution, differences, figures, findings, score_table, summary


def test_differences_are_paired_with_the_resnet(build):
    found = differences(build())
    assert list(found) == ["ResNeXt_small", "Res2Net_small"]
    assert found["ResNeXt_small"].mean == pytest.approx((0.06 + 0.05 + 0.06) / 3)
    assert found["ResNeXt_small"].finding == "better"
    assert found["Res2Net_small"].finding == "no difference shown"
    low, high = found["ResNeXt_small"].range.split(" to ")
    assert 0 < float(low) < 5.67 < float(high)


def test_the_finding_is_stated_whatever_it_is(build):
    better, *rest = findings(build())
    assert better == "ResNeXt_small has the highest mean mIoU of 56.67 %."
    assert rest[0].startswith("Better than ResNet_small: ResNeXt_small (+5.67 points, ")
    assert rest[1].startswith("No difference from ResNet_small that 3 seeds can show: Res2Net_small (0.00 points, ")
    assert "highest mean mAP" in findings(build("detection"))[0]
    few = " ".join(findings(build(seeds=2)))
    assert "Too few seeds, 2 instead of at least 3" in few
    assert "no difference in mIoU is claimed" in few
    alone = build(backbones=[("ResNeXt_small", "ResNeXt", 0.02, (0.5, 0.5, 0.5))])
    assert findings(alone)[0] == "ResNeXt_small has a mean mIoU of 50.00 %."
    assert "FLOPs" not in summary(alone)
    assert summary(alone).startswith("ResNeXt_small, trained 3 times")
    assert findings(alone)[1] == "No ResNet was trained, so there is nothing to compare with."


def test_what_the_intervals_cover(build):
    assert "the choice of the 200 canvases" in caution(build())
    assert caution(build(seeds=2)) == ""


def test_the_table(build):
    table = score_table(build("detection"))
    assert [column.title for column in table.columns][3:6] == ["mAP", "AP at 0.50", "mAP minus ResNet_small"]
    first, second, _ = table.rows
    assert [entry.text for entry in first][3:7] == ["51.00 ± 1.00", "71.00 ± 1.00", "–", "reference"]
    assert [entry.text for entry in second][5:7] == ["+5.67", "better"]
    assert len(table.data) == 9
    assert table.data[3] == {
        "network": "ResNeXt_small",
        "seed": 0,
        "map": 0.56,
        "map_50": pytest.approx(0.76),
        "seconds": 40.0,
        "gflops": 0.0241,
    }


def test_the_curves_are_means_over_the_seeds(build):
    cost, loss, curve = figures(build())
    assert (cost.points[0].x, cost.points[0].y) == (pytest.approx(23.3), pytest.approx(51))
    assert cost.points[0].y_range == (pytest.approx(50), pytest.approx(52))
    own = [point for point in loss.points if point.line == "ResNet_small"]
    assert [(point.x, point.y, point.label) for point in own] == [(1, 2.0, ""), (2, 2.0, "ResNet_small")]
    assert own[0].description == "ResNet_small: epoch 1, loss 2.000"
    own = [point for point in curve.points if point.line == "ResNet_small"]
    assert [(point.x, point.label) for point in own] == [(1, ""), (2, "ResNet_small")]
    assert [point.y for point in own] == [pytest.approx(25.5), pytest.approx(51)]
    assert own[1].description == "ResNet_small: epoch 2, 51.00 % mIoU"


def test_a_curve_wants_the_same_epochs_of_all_seeds(build):
    comparison = build()
    first, *others = comparison.networks
    for curve in ((), first.runs[0].curve[1:]):
        runs = (replace(first.runs[0], curve=curve), *first.runs[1:])
        changed = replace(comparison, networks=(replace(first, runs=runs), *others))
        assert {point.line for point in figures(changed)[2].points} == {network.name for network in others}
    alone = replace(comparison, networks=(replace(first, runs=runs),))
    assert len(figures(alone)) == 2


def test_the_summary_says_how_far_costs_are_apart(build):
    assert "each trained 3 times with other seeds on 512 canvases" in summary(build())
    assert "has 3.4 % more FLOPs" in summary(build())
