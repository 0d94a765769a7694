"""What a comparison needs to the end, looked at before the first training step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resnexus.architectures.complexity import Complexity, complexity
from resnexus.comparison.jobs import Training
from resnexus.comparison.kept import finished
from resnexus.data.batches import BadImage
from resnexus.data.labelled import ImageFiles
from resnexus.data.sources import ImageError, opened
from resnexus.errors import ResnexusError
from resnexus.packages import installed_version

PACKAGES = ("lightning", "jinja2", "vl_convert")


def check_packages() -> None:
    """Check that training and report will find their packages; none is imported.

    Raises:
        MissingPackageError: one is not installed.
    """
    for package in PACKAGES:
        installed_version(package)


def cost(job: Training) -> Complexity:
    """Count what a network costs on the images of its job.

    Raises:
        ResnexusError: images of a size that the network cannot take.
    """
    splits = job.data.splits
    return complexity(
        job.row, splits.preprocess.size, num_classes=len(splits.classes), in_chans=splits.preprocess.in_chans
    )


def check_weights(jobs: Iterable[Training], out: Path) -> None:
    """Fetch and read the weights that trainings will start from, each network's once.

    Raises:
        ResnexusError: weights that cannot be had or do not fit the network.
    """
    waiting = {job.row.name: job for job in jobs if job.weights is not None and finished(job, out) is None}
    for job in waiting.values():
        job.network()


def check_images(job: Training) -> None:
    """Check that all files to train on can be opened, unless bad images are allowed; none is decoded.

    Raises:
        ResnexusError: one that cannot.
    """
    train = job.data.splits.train
    if job.settings.allow_bad_images or not isinstance(train, ImageFiles):
        return
    for path in train.paths:
        try:
            with opened(path):
                pass
        except ImageError as error:
            bad = BadImage(path, error.reason)
            raise ResnexusError(
                f"training image {bad}. Repair or remove it, or allow bad images to skip them"
            ) from error
