"""Measure what `resnexus quantize` costs and gains on small networks that were trained on real images, in every format.

    python -m studies.small_data FOLDER FOLDER/record.json --seeds 1
    python -m studies.quantisation FOLDER results/quantisation_cpu_DATE.json

The first training of each small network on each set of images is quantised for OpenVINO, ONNX Runtime and PyTorch:
accuracy on all images that were held out in float32 and int8, layers, size, and latency of the float32, bfloat16 and
int8 forms in turns. So are three networks of the series, which are trained here from random weights on one of the sets,
enlarged, and go on in FOLDER if interrupted. What int8 costs on ImageNet is not measured: it is not here.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnexus.artefacts.formats.registry import find_format
from resnexus.benchmark.cell import Cell
from resnexus.errors import ResnexusError
from resnexus.progress import Shown
from resnexus.quantisation.forms.registry import FORMATS
from resnexus.quantisation.quantize import quantize
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.records import read_json, write_json
from resnexus.report.latencies import latency_entry
from resnexus.report.printing import decimals_for, number, percent, signed
from resnexus.report.quantisation_record import QuantisationRecord
from resnexus.report.speed import machine
from resnexus.report.table import Column, Entry, Footnotes, Table, missing, to_markdown
from studies.shipped import textures
from studies.small_data import NETWORKS, SETS, WEIGHTS, ImageSet, training

SERIES = ("ResNeXt50_32x4d", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s")

LARGE = "large"

ENLARGED = ImageSet(
    title="the textures, enlarged", images=textures, size=64, epochs=15, crops=True, lr=0.002, warmup_epochs=1
)

RESULTS = Path(__file__).parents[1] / "results"

_MEGABYTE = 1e6


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """One network on one set of images in one format.

    Attributes:
        images: title of the set, in print.
        size: pixels on a side.
        found: what its quantisation came to.
    """

    images: str
    size: int
    found: QuantisationRecord


@dataclass(frozen=True, kw_only=True)
class QuantisedNetworks:
    """What was found.

    Attributes:
        what: was done, in a sentence.
        not_measured: what this says nothing about, in a sentence.
        records: one for each set of images, network and format.
    """

    what: str
    not_measured: str
    records: tuple[Quantised, ...]


def trained(data: str, network: str, folder: Path) -> Path:
    """Return the weights of the first training of a network on a set of images.

    Raises:
        ResnexusError: `studies.small_data` did not finish it there.
    """
    file = training(folder, data, network, 0) / WEIGHTS
    if not file.is_file():
        raise ResnexusError(f"{file} does not exist: python -m studies.small_data {folder} RECORD.json --seeds 1")
    return file


def trained_here(network: str, folder: Path) -> Path:
    """Return the weights of a network of the series, trained on the textures, enlarged; it goes on if interrupted."""
    return ENLARGED.train(network, 0, folder / "textures" / "images", training(folder, LARGE, network, 0))


def measured(folder: Path, sets: Sequence[str], formats: Sequence[str], rounds: int) -> Iterator[Quantised]:
    """Quantise every network on every set of images in every format, and yield what was found."""
    files = []
    if LARGE in sets:
        files = [(ENLARGED, "textures", trained_here(network, folder)) for network in SERIES]
    files += [
        (SETS[data], data, trained(data, network, folder)) for data in sets if data in SETS for network in NETWORKS
    ]
    settings = QuantisationSettings(rounds=rounds)
    with tempfile.TemporaryDirectory() as place:
        for chosen, data, file in files:
            for format in formats:
                out = (Path(place) / file.parent.name).with_suffix(find_format(format).suffix)
                images = folder / data / "images"
                found = quantize(file, images, out, format=format, settings=settings, progress=Shown())
                yield Quantised(images=chosen.title, size=chosen.size, found=found)


def table(record: QuantisedNetworks) -> Table:
    """Return one row for each set of images, network and format."""
    notes = Footnotes()
    precisions = [name for name in _TIMED if any(name in _first(quantised.found) for quantised in record.records)]
    return Table(
        name="quantisation",
        caption=record.what,
        columns=(
            Column(title="Images", text=True),
            Column(title="Network", text=True),
            Column(title="Format", text=True),
            Column(title="float32", unit="%", group="Top-1"),
            Column(title="int8", unit="%", group="Top-1"),
            Column(title="difference", unit="points", group="Top-1"),
            Column(title="in int8 / all", group="Layers"),
            Column(title="put back", group="Layers"),
            Column(title="float32", unit="MB", group="Size"),
            Column(title="int8", unit="MB", group="Size"),
            *(Column(title=name, unit="ms", group="Batch 1") for name in map(_TIMED.__getitem__, precisions)),
        ),
        rows=tuple(_row(quantised, precisions, notes) for quantised in record.records),
        notes=notes.texts,
    )


def _row(quantised: Quantised, precisions: Sequence[str], notes: Footnotes) -> tuple[Entry, ...]:
    found = quantised.found
    cells = _first(found)
    decimals = decimals_for(cell.median_ms for cell in cells.values())
    return (
        Entry(text=f"{quantised.images}, {quantised.size} x {quantised.size}"),
        Entry(text=found.architecture),
        Entry(text=found.format),
        Entry(text=percent(found.top1_fp32.value)),
        Entry(text=percent(found.top1_int8.value)),
        Entry(
            text=signed(100 * found.paired.difference, 2),
            detail=f"± {number(100 * found.paired.half_width, 2)}",
        ),
        Entry(text=f"{len(found.layers)} / {len(found.layers) + len(found.left)}"),
        Entry(text=number(len(found.put_back), 0)),
        Entry(text=number(found.bytes_fp32 / _MEGABYTE, 2)),
        Entry(text=number(found.bytes_int8 / _MEGABYTE, 2)),
        *(latency_entry(cells[name], decimals, notes) if name in cells else missing() for name in precisions),
    )


def _first(found: QuantisationRecord) -> dict[str, Cell]:
    """Return the times of one picture, by precision."""
    return {cell.precision: cell for cell in found.latency if cell.batch_size == 1}


_TIMED = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}


def section() -> str:
    """Return the table of the newest record and how it was measured, as Markdown; that there is none, if so."""
    found = sorted(RESULTS.glob("quantisation_cpu_*.json"))
    if not found:
        return "Not measured.\n"
    record = read_json(QuantisedNetworks, found[-1])
    cells = [_first(quantised.found) for quantised in record.records]
    pairs = [(found["fp32"], found["int8"]) for found in cells if {"fp32", "int8"} <= found.keys()]
    slower = sum(int8.median_ms > fp32.median_ms for fp32, int8 in pairs)
    sentences = (
        f"One picture takes longer in int8 than in float32 in {slower} of the {len(pairs)} rows.",
        *dict.fromkeys(sentence for quantised in record.records for sentence in quantised.found.not_timed),
        *dict.fromkeys(_of_the_images(quantised) for quantised in record.records),
        record.not_measured,
        machine(record.records[0].found.environment),
    )
    return "\n".join([to_markdown(table(record)), *(f"- {sentence}" for sentence in sentences), ""])


def _of_the_images(quantised: Quantised) -> str:
    """Return a sentence about a set: how many images said what, and what one of them is worth."""
    found, images = quantised.found, quantised.found.paired.images
    return (
        f"Of {quantised.images}, {images:,} images that were held out gave the accuracy, so that one is "
        f"{number(100 / images, 2)} points, and {found.calibration_images} others the ranges; "
        f"{found.max_drop:g} points of loss were allowed."
    )


def main() -> None:
    """Write the record, as it grows."""
    parser = argparse.ArgumentParser(description="Measure what int8 costs and gains.")
    parser.add_argument("folder", type=Path, help="what `studies.small_data` wrote")
    parser.add_argument("output", type=Path, help="JSON record to write")
    parser.add_argument("--data", nargs="+", default=[LARGE, *SETS], choices=[LARGE, *SETS], help="all if left out")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS, help="all if left out")
    parser.add_argument("--rounds", type=int, default=30, help="of timing (default 30)")
    options = parser.parse_args()
    record = QuantisedNetworks(
        what="Networks were trained on images that ship in Python packages, and put into int8.",
        not_measured="What int8 costs on ImageNet was not measured.",
        records=(),
    )
    for quantised in measured(options.folder, options.data, options.formats, options.rounds):
        record = replace(record, records=(*record.records, quantised))
        write_json(record, options.output)
    print(to_markdown(table(record)))


if __name__ == "__main__":
    main()
