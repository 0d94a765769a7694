"""ReaL: the labels of ImageNet's validation images, looked at again, with all that is in each picture.

Beyer et al. 2020, arXiv:2006.07159; `real.json` of github.com/google-research/reassessed-imagenet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.intervals import Share, share
from resnexus.evaluation.metrics import predicted
from resnexus.records import RecordError, read_json

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\b")
_EXPECTED = "expected the list of real.json, for every image a list of classes 0 to 999"


def read_real(path: str | os.PathLike[str]) -> tuple[frozenset[int], ...]:
    """Return the classes of every validation image, the first is number 1; none where the annotators found none.

    Raises:
        ResnexusError: the file cannot be read, or is not a list of lists of class numbers.
    """
    try:
        content = read_json(tuple[tuple[int, ...], ...], Path(path))
    except RecordError as error:
        raise ResnexusError(f"the ReaL labels: {error}; {_EXPECTED}") from error
    unknown = [number for found in content for number in found if not 0 <= number < 1000]
    if unknown:
        raise ResnexusError(f"the ReaL labels: {printable(path)}: {unknown[0]} is no class; {_EXPECTED}")
    return tuple(map(frozenset, content))


def real_accuracy(logits: Tensor, files: Sequence[str], real: Sequence[frozenset[int]]) -> Share:
    """Return how often the largest logit is one of the classes that are in the picture.

    Images without any class do not count.

    Args:
        logits: (N, 1000), in the order of ImageNet's classes.
        files: what the images are called, `ILSVRC2012_val_00000001.JPEG` and so on in any folder.
        real: as `read_real` returns it.

    Raises:
        ResnexusError: a file without its number, a number outside of the list, or no image that counts.
    """
    numbers = [_number(name, len(real)) for name in files]
    answers = predicted(logits).tolist()
    counted = [(answer, real[number - 1]) for answer, number in zip(answers, numbers, strict=True) if real[number - 1]]
    if not counted:
        raise ResnexusError(f"none of the {len(files)} images has a ReaL label")
    return share(sum(answer in found for answer, found in counted), len(counted))


def check_numbers(files: Iterable[str], real: Sequence[frozenset[int]]) -> None:
    """See that every file has a number of the list; errors as for `real_accuracy`."""
    for name in files:
        _number(name, len(real))


def _number(name: str, images: int) -> int:
    found = _NUMBER.search(Path(name).name)
    if found is None or not 1 <= int(found[1]) <= images:
        raise ResnexusError(
            f"{printable(name)}: the ReaL labels are for files ILSVRC2012_val_00000001.JPEG to "
            f"ILSVRC2012_val_{images:08}.JPEG"
        )
    return int(found[1])
