"""What lies beside a report to be used."""

import pytest
import torch

from resnexus import open_dataset
from resnexus.comparison.best import BEST, EXAMPLES, keep_best, keep_examples
from resnexus.comparison.kept import weights_path
from resnexus.report.record import Run, TrainedNetwork


def network(name, *top1):
    runs = tuple(
        Run(seed=seed, top1=one, top5=1.0, images=8, skipped=(), skipped_in_training=(), epochs=1, seconds=0.5)
        for seed, one in enumerate(top1)
    )
    return TrainedNetwork(name=name, family="ResNet", line=name, image_size=16, gflops=1.0, mparams=1.0, runs=runs)


@pytest.fixture
def done(jobs, tmp_path):
    """Two trainings of each network, whose files of weights hold what they are of."""
    found = jobs(seeds=2)
    for job in found:
        weights_path(job, tmp_path).parent.mkdir(exist_ok=True)
        weights_path(job, tmp_path).write_text(job.title)
    return found


def test_the_mean_over_seeds_counts_and_the_first_seed_is_taken(done, tmp_path):
    networks = [network("plain", 0.5, 1.0), network("split", 0.75, 0.875)]
    assert keep_best(networks, done, tmp_path) is networks[1]
    assert (tmp_path / BEST).read_text() == "split, seed 0"


def test_of_equal_networks_the_first_is_taken_and_replaces_an_older_one(done, tmp_path):
    (tmp_path / BEST).write_text("of another comparison")
    networks = [network("plain", 0.25, 0.75), network("split", 0.5, 0.5)]
    assert keep_best(networks, done, tmp_path) is networks[0]
    assert (tmp_path / BEST).read_text() == "plain, seed 0"


def test_examples_are_held_out_digits_and_enter_a_network_as_they_do_from_memory(tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    splits = open_dataset("digits")
    keep_examples(splits.val, tmp_path)
    assert sorted(path.name for path in (tmp_path / EXAMPLES).iterdir()) == [f"{digit}.png" for digit in range(10)]
    labels = splits.val.labels.tolist()
    for digit in range(10):
        image, label = splits.val[labels.index(digit)]
        assert label == digit
        assert torch.equal(splits.preprocess(tmp_path / EXAMPLES / f"{digit}.png"), image)


def test_images_that_are_files_are_not_copied(jobs, tmp_path):
    keep_examples(jobs()[0].data.splits.val, tmp_path)
    assert not (tmp_path / EXAMPLES).exists()
