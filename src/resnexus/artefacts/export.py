"""Write a network as an artefact, once that answers as the network does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.artefacts.artefact import Artefact
from resnexus.artefacts.comparing import compared
from resnexus.artefacts.formats.contract import Format
from resnexus.artefacts.formats.registry import find_format
from resnexus.artefacts.graph import Deployed
from resnexus.artefacts.record import ArtefactRecord, Included, Interface, Sizes
from resnexus.artefacts.trunk import trunk, with_maps
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.variations import at_size
from resnexus.files import check_writable, replacing
from resnexus.models import RANDOM
from resnexus.progress import Progress, Silent
from resnexus.rewrites.folding import cast
from resnexus.rewrites.table import free, rewritten
from resnexus.subject import Subject, open_subject
from resnexus.weights.checkpoint_file import CheckpointRecord

IN_MEMORY = "in memory"
"""What the record says of weights that are no file's."""


def export(
    model: str | os.PathLike[str] | Network | FeatureNetwork,
    out: str | os.PathLike[str],
    *,
    format: str | Format,
    weights: str | os.PathLike[str] | None = None,
    architecture: str | None = None,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
    preparation: Preprocess | None = None,
    image_size: int | None = None,
    sizes: Sizes = "fixed",
    preprocess: Included = "none",
    multi_label: bool | None = None,
    heatmap: bool = False,
    opset: int | None = None,
    instruction_set: str | None = None,
    progress: Progress | None = None,
) -> ArtefactRecord:
    """Write a network in a format that runs without it, and compare the two on photographs before that counts as done.

    Args:
        model: a network of ours, with `features_only` for its feature maps; or a published one, `NETWORK`,
            `NETWORK:TAG` or a checkpoint's name; or a file of weights, as a path object or a string with a folder or
            the suffix of such a file.
        out: the file, with the suffix of its format, or the folder; replaced if it exists. What other files a format
            consists of lies beside it.
        format: one of `artefacts.formats.registry.FORMATS`, or a format with options of its own, such as
            `artefacts.web.format.WebFormat`.
        weights: for a network by its bare name: a tag, a file, or `"random"`, which the record then says.
        architecture: the network of a file, where names and shapes cannot tell.
        out_indices: give these feature maps and no scores, as `create_model` numbers them, each an output of its own,
            `"map0"` to `"map4"`; for the formats onnx, openvino and pt2. Scores if None.
        output_stride: with `out_indices`: 8 or 16 for maps that stay as large as at that stride, by dilation.
        preparation: how images are prepared; what the weights say, or else the published series' own, if None.
        image_size: pixels on a side, the crop taking the same share of the picture; that of the preparation if None.
        sizes: `"fixed"`, or `"multiples-of-32"` for images of any height and width that 32 divides.
        preprocess: what of the preprocessing is in the graph, see `artefacts.record.Interface`.
        multi_label: whether each class is a question of its own, its probability a sigmoid; what the record of the
            weights says if None.
        heatmap: give the class activation map of the top class, too.
        opset: version of ONNX's operators; the exporter's own if None.
        instruction_set: for `"aoti"`: the instructions that the code may use, `"avx2"` or `"avx512"`; it is code for a
            processor that has them, and for this version of PyTorch alone.
        progress: told what is being done.

    Returns:
        The record that lies in the artefact, with the agreement that was found.

    Raises:
        ResnexusError: values that do not go together, a library that is not installed, weights that cannot be had, a
            place that cannot be written, or an artefact that answers otherwise than the network: that one is not kept.
    """
    progress = progress or Silent()
    entry, out = format if isinstance(format, Format) else find_format(format), Path(out)
    _check_request(entry, out, preprocess, heatmap=heatmap, opset=opset, instruction_set=instruction_set)
    wanted = _wanted_maps(model, out_indices, output_stride)
    if wanted is not None:
        _check_maps(entry, heatmap=heatmap, multi_label=multi_label)
    versions = entry.versions()
    entry.check(out)
    subject = _subject(model, weights, architecture, progress, headless=wanted is not None)
    maps: tuple[int, ...] = ()
    if wanted is not None:
        subject, maps = with_maps(subject, wanted, output_stride)
    record = _described(subject, _origin(model, weights, subject), entry.name, preparation, image_size)
    known = subject.network.record or CheckpointRecord()
    interface = Interface(
        included=preprocess,
        in_chans=subject.network.in_chans,
        image_size=record.preprocess.size,
        sizes=sizes,
        multi_label=not maps and bool(known.multi_label if multi_label is None else multi_label),
        heatmap=heatmap,
        batch=entry.batch,
        maps=maps,
    )
    rewrites = free(record.row) if entry.rewrites else ()
    record = replace(record, interface=interface, rewrites=rewrites, versions=versions)
    record = replace(record, opset=opset, instruction_set=instruction_set)
    check_writable(out.parent)
    for note in record.notes:
        progress.say(note)
    progress.say(f"{subject.name}: exporting as {entry.name}")
    deployed = Deployed(rewritten(subject.network, rewrites), record.preprocess, interface)
    built, record = entry.build(deployed, record)
    with _places(entry, out) as place:
        progress.say(f"{subject.name}: comparing with the plain network")
        record = _agreeing(entry, built, record, subject.network, place)
        entry.write(built, record, place)
    return record


def _wanted_maps(model: object, out_indices: Sequence[int] | None, output_stride: int | None) -> Sequence[int] | None:
    """Return the feature maps that are asked for; None if scores are."""
    options = {"out_indices": out_indices, "output_stride": output_stride}
    for option, value in options.items():
        if value is not None and isinstance(model, FeatureNetwork):
            raise ResnexusError(f"{option}={value} has no effect on a network that returns feature maps already")
    if out_indices is None and output_stride is not None:
        raise ResnexusError(f"output_stride={output_stride} has no effect without feature maps: give out_indices")
    return model.out_indices if isinstance(model, FeatureNetwork) else out_indices


def _check_maps(entry: Format, *, heatmap: bool, multi_label: bool | None) -> None:
    if not entry.maps:
        raise ResnexusError(f"the format {entry.name} gives no feature maps: expected onnx, openvino or pt2")
    for option, value in (("heatmap", heatmap or None), ("multi_label", multi_label)):
        if value is not None:
            raise ResnexusError(f"{option}={value} has no effect with feature maps: no scores come out beside them")


def _origin(model: object, weights: str | os.PathLike[str] | None, subject: Subject) -> str:
    if isinstance(model, (Network, FeatureNetwork)):
        return IN_MEMORY
    if weights == RANDOM:
        return RANDOM
    if subject.published is not None:
        return f"{subject.published.architecture}:{subject.published.tag}"
    return Path(subject.name).name


def _check_request(
    entry: Format, out: Path, included: Included, *, heatmap: bool, opset: int | None, instruction_set: str | None
) -> None:
    """Refuse what cannot be before the weights are fetched."""
    if entry.suffix and out.suffix != entry.suffix:
        raise ResnexusError(f"{printable(out)}: the format {entry.name} is a file *{entry.suffix}")
    if entry.suffix and out.is_dir():
        raise ResnexusError(f"{printable(out)} is a folder: the format {entry.name} is a file *{entry.suffix}")
    if not entry.suffix and out.is_file():
        raise ResnexusError(f"{printable(out)} is a file: the format {entry.name} is a folder")
    if entry.weights_only and (included != "none" or heatmap):
        option = "heatmap=True" if heatmap else f"preprocess={included!r}"
        raise ResnexusError(f"{option} has no effect on the format {entry.name}: it holds weights and no graph")
    if opset is not None and "onnx" not in entry.packages:
        raise ResnexusError(f"opset={opset} has no effect on the format {entry.name}: it is for onnx")
    if instruction_set is not None and entry.name != "aoti":
        raise ResnexusError(
            f"instruction_set={instruction_set!r} has no effect on the format {entry.name}: it is for aoti"
        )


def _subject(
    model: str | os.PathLike[str] | Network | FeatureNetwork,
    weights: str | os.PathLike[str] | None,
    architecture: str | None,
    progress: Progress | None,
    *,
    headless: bool,
) -> Subject:
    if not isinstance(model, (Network, FeatureNetwork)):
        return open_subject(model, architecture, progress, weights=weights)
    name = model.architecture.name
    for option, value in (("weights", weights), ("architecture", architecture)):
        if value is not None:
            raise ResnexusError(f"{option}={printable(value)} has no effect on a network that is in memory")
    if isinstance(model, FeatureNetwork):
        model = trunk(model, model.out_indices)
    if model.deviation:
        raise ResnexusError(f"cannot export {name} with {model.deviation}: its row would say another function")
    if not model.num_classes and not headless:
        raise ResnexusError(f"cannot export {name}: the network has no last layer, so that it names no class")
    known = model.record or CheckpointRecord()
    return Subject(
        name=name,
        architecture=name,
        network=cast(model, torch.float32).cpu(),
        weights_sha256="",
        classes=known.classes,
        preprocess=known.preprocess,
        published=None,
    )


def _described(
    subject: Subject, weights: str, format: str, preparation: Preprocess | None, image_size: int | None
) -> ArtefactRecord:
    """Return the record as far as the network decides it."""
    network, notes = subject.network, []
    if weights == RANDOM:
        notes.append("The weights are random: what it answers means nothing.")
    preprocess = preparation or subject.preprocess
    if preprocess is None:
        preprocess = Preprocess()
        notes.append("The weights say nothing of preprocessing: that of the published series was taken.")
    if image_size is not None:
        preprocess = at_size(preprocess, image_size)
    if preprocess.in_chans != network.in_chans:
        raise ResnexusError(
            f"{subject.name} takes images of {network.in_chans} channels, and the preprocessing gives "
            f"{preprocess.in_chans}: give preparation=Preprocess(mean=..., std=...) with as many numbers"
        )
    trained = network.record
    return ArtefactRecord(
        format=format,
        row=network.architecture,
        output_stride=network.output_stride if network.output_stride < network.architecture.reductions[-1] else None,
        weights=weights,
        weights_sha256=subject.weights_sha256 or None,
        trained=None if trained is None else replace(trained, architecture=None, classes=None, preprocess=None),
        classes=subject.classes,
        preprocess=preprocess,
        interface=Interface(),
        notes=tuple(notes),
        versions={},
    )


def _agreeing(entry: Format, built: Any, record: ArtefactRecord, network: Network, place: Path) -> ArtefactRecord:
    """Return the record with the agreement of what is written, which is written for that beside its place.

    Raises:
        ResnexusError: it answers otherwise than the network.
    """
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        trial = Path(folder) / place.name
        if not entry.suffix:
            trial.mkdir()
        entry.write(built, record, trial)
        record = compared(network, Artefact(printable(trial), entry.open(trial)), entry.tolerance, entry.pictures)
    scores = "maps" if record.interface.maps else "scores"
    for what, found in ((scores, record.agreement), ("heat maps", record.heatmap_agreement)):
        if found is not None and not found.within(entry.tolerance):
            raise ResnexusError(
                f"{record.row.name} as {record.format} answers otherwise than the network: the {what} of "
                f"{record.pictures} pictures differ by up to {found.max_rel:.1e} of the largest, and "
                f"{entry.tolerance:.0e} is accepted; nothing was written"
            )
    return record


@contextmanager
def _places(entry: Format, out: Path) -> Iterator[Path]:
    """Yield where to write; what lies there takes its place if the block succeeds, the file that counts last."""
    *others, last = entry.files(out)
    with replacing(last) as temporary:
        place = temporary if entry.suffix else temporary.parent / "folder"
        if not entry.suffix:
            place.mkdir()
        yield place
        written = dict(zip((*others, last), entry.files(place), strict=True))
        for other in others:
            with replacing(other) as whole:
                written[other].replace(whole)
        if written[last] != temporary:
            written[last].replace(temporary)
