"""`resnexus verify`: does it compute what the original computes?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from resnexus.cli.options import ArchitectureName, Features, OutputStride, numbers, refuse_others

if TYPE_CHECKING:
    from resnexus.architectures.network import FeatureNetwork, Network
    from resnexus.architectures.spec import Architecture
    from resnexus.parity.verify import GoldenCheck

_FAILED = 1


def verify(
    context: typer.Context,
    subject: Annotated[
        str, typer.Argument(metavar="NETWORK|FILE", help="A network of the series, a file of weights, or an ONNX file.")
    ],
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For an ONNX file: the file of weights that it was exported from."),
    ] = None,
    architecture: ArchitectureName = None,
    features: Features = None,
    output_stride: OutputStride = None,
    signature: Annotated[
        Path | None, typer.Option(metavar="KEY", help="For an exported artefact: the public key of who signed it.")
    ] = None,
) -> None:
    """Check a network against the original's recorded logits and stages, and name the mistake if one is known.

    A file of weights is identified, and its network checked. An ONNX file is compared with our network and the same
    weights. With --features, every map is checked on its own. With --signature, what `resnexus export --sign` wrote is
    compared with what was signed, and nothing else is done.

    Exit code 0: the same function, or a file of sound weights for a network that the original has not. 1: another
    function than the original's. 2: it cannot be checked.
    """
    from resnexus.errors import ResnexusError
    from resnexus.weights.convert import SUFFIXES

    if signature is not None:
        refuse_others(context, {"subject", "signature"}, "--signature")
        _verify_signature(subject, signature)
        return
    suffix = Path(subject).suffix
    if (weights is not None) != (suffix == ".onnx"):
        raise ResnexusError(
            f"{subject}: an ONNX file needs --weights, the file of weights that it was exported from"
            if suffix == ".onnx"
            else f"--weights {weights} has no effect on {subject!r}: it is for an ONNX file"
        )
    if architecture is not None and suffix not in (*SUFFIXES, ".onnx"):
        raise ResnexusError(f"--architecture {architecture} has no effect on {subject!r}: it is for a file of weights")
    if output_stride is not None and features is None:
        raise ResnexusError(f"--output-stride {output_stride} has no effect without --features")
    maps = None if features is None else _Maps(numbers(features, "--features"), output_stride)
    if weights is not None:
        passed = _verify_onnx(subject, weights, architecture, maps)
    elif suffix in SUFFIXES:
        passed = _verify_file(Path(subject), architecture, maps)
    else:
        passed = _verify_network(subject, maps)
    if not passed:
        raise typer.Exit(_FAILED)


def _verify_signature(subject: str, key: Path) -> None:
    from resnexus.artefacts.signing import verify_signature
    from resnexus.errors import printable

    for path in verify_signature(subject, key):
        print(f"{printable(path)}: signed with the key of {printable(key)}, and unchanged since")


class _Maps(NamedTuple):
    out_indices: list[int]
    output_stride: int | None


def _verify_network(model: str | Architecture, maps: _Maps | None) -> bool:
    import torch

    from resnexus.architectures.catalog import architecture
    from resnexus.errors import ResnexusError
    from resnexus.parity.verify import unrecorded
    from resnexus.parity.verify import verify as check

    if maps is not None:
        return _verify_maps(model, maps)
    if missing := unrecorded(architecture(model)):
        raise ResnexusError(missing.reason)
    name = model if isinstance(model, str) else model.name
    # Each line as soon as it is true: in float64 a large network takes a while.
    print(f"{name}, golden weights, against the original's recorded output", flush=True)
    passed = True
    for dtype in (torch.float64, torch.float32):
        for result in check(model, dtype=dtype):
            size = f"{result.image_size[0]}x{result.image_size[1]}"
            outcome = _outcome(result.agreement.max_rel, result.tolerance)
            print(f"  {size:8} {result.dtype}  {outcome}", flush=True)
            _explain(result)
            passed = passed and result.passed
    return passed


def _verify_maps(model: str | Architecture, maps: _Maps) -> bool:
    import torch

    from resnexus.parity.maps import verify_maps

    checks = [result for dtype in (torch.float64, torch.float32) for result in verify_maps(model, *maps, dtype=dtype)]
    name = model if isinstance(model, str) else model.name
    dilated = "" if maps.output_stride is None else f", output stride {maps.output_stride}"
    print(f"{name}{dilated}, golden weights, against the original's recorded stages")
    for result in checks:
        size = f"{result.image_size[0]}x{result.image_size[1]}"
        outcome = f"tolerance {result.tolerance:.0e}: {_VERDICTS[result.passed]}"
        difference = f"differs by {result.difference:.1e} of its spread"
        print(f"  {size:8} {result.dtype}  map {result.index}: {difference}, {outcome}")
    return all(result.passed for result in checks)


def _verify_file(path: Path, architecture: str | None, maps: _Maps | None) -> bool:
    import torch

    from resnexus.errors import ResnexusError, printable
    from resnexus.parity.verify import unrecorded
    from resnexus.weights.convert import load_state, ours

    shown = printable(path)
    found, state = ours(load_state(path), architecture)
    print(f"{shown}: {found}")
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise ResnexusError(f"{shown}: {len(broken)} entries are not finite, the first is {broken[0]}")
    print(f"{shown}: {len(state)} entries, every name and shape fits, all finite\n")
    missing = unrecorded(found.architecture)
    if missing is None:
        return _verify_network(found.architecture, maps)
    print(f"{'ANOTHER FUNCTION' if missing.other_function else 'nothing to compare with'}: {printable(missing.reason)}")
    return not missing.other_function


def _verify_onnx(subject: str, weights: Path, architecture: str | None, maps: _Maps | None) -> bool:
    from resnexus.errors import printable
    from resnexus.models import create_model
    from resnexus.parity.agreement import FLOAT32_TOLERANCE, MapAgreement
    from resnexus.parity.forms import OnnxNetwork, compare_forms
    from resnexus.weights.convert import load_state, ours

    form = OnnxNetwork(subject, 1 if maps is None else len(maps.out_indices))
    found, state = ours(load_state(weights), architecture)
    row, channels = found.architecture, found.in_chans
    network: Network | FeatureNetwork
    if maps is None:
        network = create_model(row, num_classes=found.num_classes, in_chans=channels)
    else:
        indices, stride = maps
        network = create_model(row, features_only=True, out_indices=indices, in_chans=channels, output_stride=stride)
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    agreement = compare_forms(network.eval(), form)
    print(f"{form.path} against {printable(row.name)} with the weights of {printable(weights)}")
    for part in agreement.maps or (agreement,):
        what = f"map {part.index}: " if isinstance(part, MapAgreement) else ""
        outcome = _outcome(part.max_rel, FLOAT32_TOLERANCE, "value" if what else "logit")
        print(f"  {form.image_size[0]}x{form.image_size[1]}  float32  {what}{outcome}")
    return agreement.within(FLOAT32_TOLERANCE)


_VERDICTS = {True: "same function", False: "ANOTHER FUNCTION"}


def _outcome(difference: float, tolerance: float, of: str = "logit") -> str:
    verdict = _VERDICTS[difference <= tolerance]
    return f"largest difference {difference:.1e} of the largest {of}, tolerance {tolerance:.0e}: {verdict}"


def _explain(check: GoldenCheck) -> None:
    if check.first_difference is not None:
        print(f"    the first difference is in {check.first_difference}")
    if check.trap is not None:
        print(f"    it looks like {check.trap.name}: {check.trap.explanation}")
