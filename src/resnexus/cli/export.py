"""`resnexus export`: a network as an artefact that runs without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import (
    ArchitectureName,
    Features,
    ImageSize,
    Json,
    Model,
    MultiLabel,
    OutputStride,
    Weights,
    numbers,
)

if TYPE_CHECKING:
    from resnexus.artefacts.record import ArtefactRecord
    from resnexus.artefacts.web.format import WebFormat
    from resnexus.progress import Progress

_SIZES = "fixed, or multiples-of-32: any height and width that 32 divides."
_PREPROCESS = (
    "What of the preprocessing is in the graph. none: prepared images in, logits out. normalise: 8-bit images at the "
    "network's size in, probabilities out. full: one 8-bit picture of any size in, resized and cropped in the graph."
)
_Format = Annotated[str, typer.Option(help="onnx, openvino, pt2, safetensors, aoti, executorch, triton, ovms or web.")]
_Out = Annotated[
    Path,
    typer.Option(help="The file (*.onnx, *.xml, *.pt2, *.pte), or a folder for the others; *.html with --single-file."),
]
_Heatmap = Annotated[bool, typer.Option("--heatmap", help="Give the class activation map of the top class, too.")]
_Opset = Annotated[int | None, typer.Option(help="Version of ONNX's operators; the exporter's own if left out.")]
_SingleFile = Annotated[
    bool, typer.Option("--single-file", help="web: everything in one page, which opens without a server.")
]
_Sign = Annotated[
    Path | None, typer.Option(metavar="KEY", help="Private key in PEM: sign what is written, in *.sig beside it.")
]
_Sbom = Annotated[
    bool, typer.Option("--sbom", help="Write what this environment consists of, in CycloneDX's *.cdx.json beside it.")
]
_WebGPU = Annotated[
    bool, typer.Option("--webgpu", help="web: let the reader choose the graphics processor; 13 MB more.")
]


def export(
    model: Model,
    format: _Format,
    out: _Out,
    weights: Weights = None,
    architecture: ArchitectureName = None,
    features: Features = None,
    output_stride: OutputStride = None,
    image_size: ImageSize = None,
    sizes: Annotated[str, typer.Option(metavar="fixed|multiples-of-32", help=_SIZES)] = "fixed",
    preprocess: Annotated[str, typer.Option(metavar="none|normalise|full", help=_PREPROCESS)] = "none",
    multi_label: MultiLabel = None,
    heatmap: _Heatmap = False,
    opset: _Opset = None,
    instruction_set: Annotated[
        str | None,
        typer.Option(metavar="avx2|avx512", help="aoti, which needs it: what its code may use, and so runs on."),
    ] = None,
    single_file: _SingleFile = False,
    weights_type: Annotated[
        str | None, typer.Option(metavar="fp32|fp16|int8", help="web: how weights are stored.  [default: fp32]")
    ] = None,
    webgpu: _WebGPU = False,
    sign: _Sign = None,
    sbom: _Sbom = False,
    json_output: Json = False,
) -> None:
    """Write a network so that it runs without its code, once it has answered as the network does.

    The artefact holds class names, preprocessing, row, source and digest, where ONNX Runtime, OpenVINO's Model API and
    timm look for them. It is compared with the plain network on photographs, and not kept if it answers otherwise.
    With --features, for onnx, openvino and pt2, every map is an output, and is compared on its own.
    """
    from resnexus.artefacts.export import export as job
    from resnexus.artefacts.materials import check_materials, write_materials
    from resnexus.artefacts.signing import Signer
    from resnexus.errors import ResnexusError, printable
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json

    if output_stride is not None and features is None:
        raise ResnexusError(f"--output-stride {output_stride} has no effect without --features")
    progress = Silent() if json_output else Shown()
    signer = None if sign is None else Signer(sign)  # a key that is none is told before the work
    if sbom:
        check_materials()
    record = job(
        model,
        out,
        format=_chosen(format, progress, single_file=single_file, weights_type=weights_type, webgpu=webgpu),
        weights=weights,
        architecture=architecture,
        out_indices=None if features is None else numbers(features, "--features"),
        output_stride=output_stride,
        image_size=image_size,
        sizes=sizes,  # type: ignore[arg-type]  # checked by the interface, and so is what follows
        preprocess=preprocess,  # type: ignore[arg-type]
        multi_label=multi_label,
        heatmap=heatmap,
        opset=opset,
        instruction_set=instruction_set,
        progress=progress,
    )
    lines = _lines(record, out)
    if sbom:
        lines.append(f"  materials {printable(write_materials(out))}")
    if signer is not None:
        lines += [f"  signed    {printable(path)}" for path in signer.sign(out)]
    print(to_json(record) if json_output else "\n".join(lines))


def _chosen(
    name: str, progress: Progress, *, single_file: bool, weights_type: str | None, webgpu: bool
) -> str | WebFormat:
    """Return a format by its name, or a page with its options."""
    from resnexus.artefacts.web.format import WebFormat
    from resnexus.errors import ResnexusError

    if name == WebFormat.name:
        return WebFormat(
            single_file=single_file,
            weights_type=weights_type or "fp32",  # type: ignore[arg-type]  # checked by the format
            webgpu=webgpu,
            progress=progress,
        )
    for option, given in (("single-file", single_file), ("weights-type", weights_type), ("webgpu", webgpu)):
        if given:
            raise ResnexusError(f"--{option} has no effect on the format {name}: it is for web")
    return name


def _lines(record: ArtefactRecord, out: Path) -> list[str]:
    from resnexus.errors import printable

    opset = "" if record.opset is None else f", opset {record.opset}"
    found = [
        f"{printable(out)}: {printable(record.row.name)} with weights {printable(record.weights)}, {record.format}"
        f"{opset}",
        f"  takes     {record.interface.input} {record.interface.shape}",
        f"  gives     {_given(record)}",
        f"  rewrites  {', '.join(record.rewrites) or 'none'}",
    ]
    for what, agreement in (("scores", record.agreement), ("heat maps", record.heatmap_agreement)):
        if agreement is not None:
            same = "" if agreement.top1 is None else f", the same top class for {100 * agreement.top1:.0f} %"
            parts = [(f"map {part.index}", part.max_rel) for part in agreement.maps if record.interface.maps]
            found += [
                f"  {part:9} of {record.pictures} pictures against the plain network: largest difference "
                f"{difference:.1e} of the largest, tolerance {record.tolerance:.0e}{same}"
                for part, difference in parts or [(what, agreement.max_rel)]
            ]
    return found


def _given(record: ArtefactRecord) -> str:
    from resnexus.architectures.features import feature_info

    row, outputs = record.row, record.interface.outputs
    if not record.interface.maps:
        classes = "unnamed" if record.classes is None else f"{len(record.classes)} by name"
        return f"{', '.join(outputs)}; classes {classes}"
    known = feature_info(row, record.output_stride or row.reductions[-1])
    found = [known[number] for number in record.interface.maps]
    return ", ".join(
        f"{name} ({part.num_chs} channels at stride {part.reduction})"
        for name, part in zip(outputs, found, strict=True)
    )
