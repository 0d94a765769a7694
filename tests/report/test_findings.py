import math
from dataclasses import replace

import pytest

from resnexus.report.findings import caution, difference, findings, reference, skipped


def with_counts(network, *counts, images=360):
    runs = [replace(network.runs[0], seed=seed, top1=count / images) for seed, count in enumerate(counts)]
    return replace(network, runs=tuple(runs))


def test_difference_is_paired_by_seed(comparison):
    base, other = comparison.networks[:2]
    base, other = with_counts(base, 300, 310, 305), with_counts(other, 303, 312, 309)
    other = replace(other, runs=other.runs[::-1])
    found = difference(other, base)
    # differences of 3, 2 and 4 images: mean 3, deviation 1, t quantile 4.3027
    assert found.pairs == 3
    assert found.mean == pytest.approx(3 / 360)
    assert found.interval.half_width == pytest.approx(4.30265 / math.sqrt(3) / 360, rel=1e-5)
    assert found.finding == "better"
    assert found.range == "+0.14 to +1.52"


def test_interval_that_holds_zero_claims_nothing(comparison):
    base, other = with_counts(comparison.networks[0], 300, 310), with_counts(comparison.networks[1], 310, 312)
    assert difference(other, base).finding == "no difference shown"


def test_worse_and_unknown_and_none(comparison):
    base, other = with_counts(comparison.networks[0], 300, 310, 305), comparison.networks[1]
    assert difference(with_counts(other, 290, 301, 294), base).finding == "worse"
    single = difference(with_counts(other, 350), base)
    assert (single.finding, single.interval, single.range) == ("unknown: one seed", None, "")
    assert difference(base, base) is None
    far = replace(other, runs=tuple(replace(run, seed=run.seed + 10) for run in other.runs))
    assert difference(far, base) is None


def test_seeds_that_agree_exactly_claim_nothing(comparison):
    base, other = with_counts(comparison.networks[0], 300, 310), with_counts(comparison.networks[1], 305, 315)
    found = difference(other, base)
    assert (found.finding, found.range) == ("no difference shown", "equal in every seed")


def test_findings_sort_networks_by_what_is_shown(comparison):
    text = findings(comparison)
    assert text[0].startswith("5 networks, each trained 3 times")
    assert "4.4 % more FLOPs" in text[0]  # 28.02 / 26.83
    assert text[1] == "SE_ResNeXt_small_8x4d has the highest mean top-1, 98.70 %."
    assert text[2].startswith("Better than ResNet_small: ResNeXt_small_8x4d (+1.39 points, +0.70 to +2.08)")
    assert text[3].startswith("No difference from ResNet_small that 3 seeds can show: SE_ResNet_small")
    assert text[4].startswith("At batch 1 (cpu, eager, fp32) ResNet_small takes")


def test_speed_is_claimed_only_where_percentiles_do_not_overlap(comparison):
    cells = [c for c in comparison.latency if c.batch_size == 1 and c.precision == "fp32"]
    cells = [
        replace(cells[0], median_ms=1.0, p10_ms=0.9, p90_ms=1.1),
        replace(cells[1], median_ms=1.15, p10_ms=1.05, p90_ms=1.3),
        replace(cells[2], median_ms=1.5, p10_ms=1.2, p90_ms=1.6),
        replace(cells[3], median_ms=0.8, p10_ms=0.7, p90_ms=0.89),
    ]
    (sentence,) = [line for line in findings(replace(comparison, latency=tuple(cells))) if line.startswith("At batch")]
    assert "Slower: SE_ResNet_small (1.50 times as long)." in sentence
    assert "Faster: SE_ResNeXt_small_8x4d (0.80 times as long)." in sentence
    assert "No clear difference: ResNeXt_small_8x4d (1.15 times as long)." in sentence


def test_one_seed_claims_nothing(comparison):
    networks = tuple(replace(network, runs=network.runs[:1]) for network in comparison.networks)
    text = " ".join(findings(replace(comparison, networks=networks)))
    assert "One seed: the spread is unknown, so no difference in accuracy is claimed." in text
    assert "Better than" not in text


def test_without_resnet_or_networks(comparison):
    without = replace(comparison, networks=comparison.networks[1:])
    assert reference(without) is None
    assert "No ResNet was trained, so there is nothing to compare with." in findings(without)
    assert caution(without) == ""
    assert findings(replace(comparison, networks=())) == ["No network was trained."]


def test_caution_names_the_weight_of_one_image(comparison):
    assert "360 validation images, of which one is 0.28 points" in caution(comparison)


def test_skipped_images_are_listed_once(comparison):
    network = comparison.networks[0]
    runs = tuple(replace(run, skipped=("a.jpg: truncated", "b.jpg: empty")) for run in network.runs)
    found = skipped(replace(comparison, networks=(replace(network, runs=runs),)))
    assert found == ["a.jpg: truncated", "b.jpg: empty"]
