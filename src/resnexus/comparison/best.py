"""What a comparison leaves beside its report to be used: the best network, and pictures to try it on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from resnexus.comparison.jobs import Training
from resnexus.comparison.kept import weights_path
from resnexus.data.labelled import ImageArrays, LabelledImages
from resnexus.files import replacing
from resnexus.report.record import TrainedNetwork

BEST, EXAMPLES = "best.safetensors", "examples"


def keep_best(networks: Sequence[TrainedNetwork], jobs: Sequence[Training], out: Path) -> TrainedNetwork:
    """Copy the weights of the network with the highest mean top-1 to `out / "best.safetensors"`, and return it.

    They are those of its first seed. The seed with the highest top-1 would be chosen by the images that it is judged
    on, and do worse on others. Of networks with the same mean it is the first.

    Args:
        networks: each with a run.
        jobs: their trainings, finished in `out`, of each network the first seed first.
        out: folder of the comparison.

    Raises:
        ResnexusError: the file cannot be written.
    """
    best = max(networks, key=lambda network: network.mean_top1)
    job = next(job for job in jobs if job.row.name == best.name)
    with replacing(out / BEST) as temporary:
        shutil.copyfile(weights_path(job, out), temporary)
    return best


def keep_examples(val: LabelledImages, out: Path) -> None:
    """Write the first image of every class to `out / "examples" / "CLASS.png"`, of embedded data; others have files.

    Args:
        val: what is evaluated on, and so was not trained on.
        out: folder of the comparison.

    Raises:
        ResnexusError: a file cannot be written.
    """
    if not isinstance(val, ImageArrays):
        return
    labels = val.labels.tolist()
    for number, name in enumerate(val.classes):
        if number in labels:
            pixels = val.pixels[labels.index(number)]
            with replacing(out / EXAMPLES / f"{name}.png") as temporary:
                Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(temporary, "PNG")
