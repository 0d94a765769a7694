import math
from dataclasses import replace

import pytest

from resnexus.report.findings import (
    caution,
    difference,
    findings,
    is_at_chance,
    reference,
    skipped,
    skipped_in_training,
)


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
    base, other = with_counts(comparison.networks[0], 300, 310, 304), with_counts(comparison.networks[1], 310, 312, 303)
    assert difference(other, base).finding == "no difference shown"


@pytest.mark.parametrize("counts", [(300,), (300, 310)])
def test_fewer_than_three_seeds_have_no_interval(comparison, counts):
    base, other = comparison.networks[:2]
    found = difference(with_counts(other, *(count + 5 for count in counts)), with_counts(base, *counts))
    assert (found.finding, found.interval, found.range) == ("too few seeds", None, "")
    assert found.mean == pytest.approx(5 / 360)


def test_an_interval_ends_where_accuracy_ends(comparison):
    base, other = with_counts(comparison.networks[0], 10, 350, 340), with_counts(comparison.networks[1], 350, 30, 345)
    assert difference(other, base).range == "−100.00 to +100.00"


def test_worse_and_unknown_and_none(comparison):
    base, other = with_counts(comparison.networks[0], 300, 310, 305), comparison.networks[1]
    assert difference(with_counts(other, 290, 301, 294), base).finding == "worse"
    single = difference(with_counts(other, 350), base)
    assert (single.finding, single.interval, single.range) == ("too few seeds", None, "")
    assert difference(base, base) is None
    far = replace(other, runs=tuple(replace(run, seed=run.seed + 10) for run in other.runs))
    assert difference(far, base) is None


def test_seeds_that_agree_exactly_claim_nothing(comparison):
    base, other = with_counts(comparison.networks[0], 300, 310, 320), with_counts(comparison.networks[1], 305, 315, 325)
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


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_claim_nothing(comparison, seeds):
    networks = tuple(replace(network, runs=network.runs[:seeds]) for network in comparison.networks)
    few = replace(comparison, networks=networks)
    text = " ".join(findings(few))
    assert (
        f"Too few seeds, {seeds} instead of at least 3: the spread is unknown, so no difference in accuracy is claimed."
        in text
    )
    assert "Better than" not in text
    assert caution(few) == "Accuracies are measured on 360 validation images, of which one is 0.28 points."


def at(network, top1):
    return replace(network, runs=tuple(replace(run, top1=top1) for run in network.runs))


def test_a_network_that_guesses_is_not_praised(comparison):
    first, second = comparison.networks[:2]
    good, guessing = at(first, 0.9), at(second, 0.12)
    text = findings(replace(comparison, networks=(good, guessing)))
    assert text[1] == "ResNet_small has the highest mean top-1, 90.00 %."
    assert text[2].startswith(
        "At chance, which is 10.28 % (always naming the largest class): ResNeXt_small_8x4d (12.00 %). Train longer"
    )
    text = " ".join(findings(replace(comparison, networks=(at(first, 0.1), guessing))))
    assert "highest mean" not in text


def test_chance_is_what_a_guesser_on_as_many_images_may_reach(comparison):
    # 1.645 deviations of sqrt(0.5 x 0.5 / 100) above one half
    fair = replace(comparison, chance=0.5)
    few = [replace(run, images=100) for run in comparison.networks[0].runs]
    network = replace(comparison.networks[0], runs=tuple(few))
    assert is_at_chance(fair, at(network, 0.582))
    assert not is_at_chance(fair, at(network, 0.583))


def test_a_busy_machine_is_said(comparison):
    cells = comparison.latency
    busy = tuple(replace(cell, p90_ms=2 * cell.p10_ms) for cell in cells[:3])
    text = findings(replace(comparison, latency=(*busy, *cells[3:]), series_latency=()))
    assert text[2] == (
        "The machine was busy while 3 of 30 latencies were measured: they are marked and say little. Measure again on "
        "a quiet machine."
    )


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
    runs = tuple(replace(run, skipped_in_training=("t.jpg: empty",)) for run in network.runs)
    assert skipped_in_training(replace(comparison, networks=(replace(network, runs=runs),))) == ["t.jpg: empty"]
