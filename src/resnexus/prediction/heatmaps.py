"""Where in the picture the first class was seen: the heat over the picture, as files and as one page of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from resnexus.errors import ResnexusError, printable
from resnexus.files import check_writable, replacing, write_text
from resnexus.packages import required
from resnexus.prediction.inputs import check_local
from resnexus.prediction.predictor import Seen
from resnexus.prediction.runner import Card
from resnexus.prediction.writing import WRITTEN_HERE
from resnexus.report.document import is_report
from resnexus.report.printing import percent
from resnexus.report.templates import shipped, template
from resnexus.report.thumbnails import thumbnail

Array = np.ndarray[Any, np.dtype[Any]]

GENERATOR = "resnexus predict"
"""By which a page of heat maps is known; no other page is replaced."""
PAGE = "index.html"
_NAMED = re.compile(r"\d{9,}\.jpg")
_SAID = f"{GENERATOR} --heatmap".encode()
_MARK = b"\xff\xfe" + (2 + len(_SAID)).to_bytes(2, "big") + _SAID
"""The comment in a JPEG by which a picture is known; no other one is replaced or removed."""
_HEAD_BYTES = 256
MOST_ON_PAGE = 500
"""Pictures that the page shows; the files hold all."""
_COLOUR = (255, 60, 0)
_STRONGEST = 0.65


class Painter(Protocol):
    """Takes what was seen."""

    def __call__(self, seen: Seen, /) -> None:
        """Draw one picture, if there is anything to draw."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture of the page.

    Attributes:
        name: what the input is called.
        file: name of the picture's file.
        said: the first class and its probability.
        picture: small, as a data address of HTML.
    """

    name: str
    file: str
    said: str
    picture: str


def overlaid(frame: Array, heat: Array) -> Array:
    """Return a picture with the heat over it, the hottest place the strongest, and nothing where it is not above 0.

    Args:
        frame: (H, W, C) uint8, C of 1 or 3.
        heat: (h, w) float32, of any scale; it is stretched over the picture.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = frame.shape[:2]
    positive = np.maximum(heat, 0)
    positive = positive / max(float(positive.max()), np.finfo(np.float32).tiny)
    stretched = Image.fromarray(positive.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    strength = _STRONGEST * np.asarray(stretched)[:, :, None]
    below = np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame
    blended: Array = np.rint(below * (1 - strength) + np.array(_COLOUR) * strength).astype(np.uint8)
    return blended


def check_heatmaps(folder: Path) -> None:
    """Make a folder for heat maps, and see that its page and the pictures that are called as ours are ours to write.

    Raises:
        ResnexusError: it cannot be written, it holds a page or such a picture of something else, or jinja2 is not
            installed.
    """
    required("jinja2")
    check_local(folder, WRITTEN_HERE)
    if (folder / PAGE).exists() and not is_report(folder / PAGE, GENERATOR):
        raise _not_ours(folder / PAGE, "page of heat maps")
    for path in _numbered(folder):
        if not _is_heatmap(path):
            raise _not_ours(path, "heat map that `resnexus predict` wrote")
    check_writable(folder)


def _not_ours(path: Path, what: str) -> ResnexusError:
    return ResnexusError(
        f"{printable(path)} is no {what} and is not overwritten: choose another folder, or move it away"
    )


def _numbered(folder: Path) -> list[Path]:
    """Return what is called as a picture of ours, in order."""
    return sorted(path for path in folder.iterdir() if _NAMED.fullmatch(path.name)) if folder.is_dir() else []


def _is_heatmap(path: Path) -> bool:
    """Whether a file says that it is a picture of ours; a link is somebody else's."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return _MARK in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _clear(folder: Path) -> None:
    """Remove what an earlier run wrote, its page first, so that no page names a picture that is not there."""
    for path in (folder / PAGE, *_numbered(folder)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ResnexusError(
                f"cannot remove {printable(path)}, which an earlier run wrote: {error.strerror}; choose another folder"
            ) from error


@contextmanager
def painting(folder: Path, card: Card) -> Iterator[Painter]:
    """Give what writes `000000000.jpg` and so on, by the numbers of the inputs, and `index.html` at the end.

    What an earlier run wrote there is removed first, so that the folder holds the pictures of one run; what is not ours
    stays.

    Raises:
        ResnexusError: as for `check_heatmaps`, or a file cannot be written or removed.
    """
    check_heatmaps(folder)
    _clear(folder)
    pictures: list[Shown] = []
    count = 0

    def paint(seen: Seen, /) -> None:
        nonlocal count
        if seen.frame is None or seen.heat is None:
            return
        count += 1
        file, picture = f"{seen.prediction.id:09d}.jpg", overlaid(seen.frame, seen.heat)
        with replacing(folder / file) as temporary:
            Image.fromarray(picture).save(temporary, "JPEG", quality=90, comment=_SAID)
        if len(pictures) < MOST_ON_PAGE:
            pictures.append(_shown(seen, file, picture))

    yield paint
    page = template("heatmaps.html").render(
        generator=GENERATOR, css=shipped("page.css"), card=card, pictures=pictures, count=count
    )
    write_text(str(page), folder / PAGE)


def _shown(seen: Seen, file: str, picture: Array) -> Shown:
    found = seen.prediction
    label = found.label_names[0] if found.label_names else f"class {found.class_ids[0]}"
    return Shown(
        name=printable(found.filename),
        file=file,
        said=f"{printable(label)}, {percent(found.scores[0], 1)} %",
        picture=thumbnail(picture),
    )
