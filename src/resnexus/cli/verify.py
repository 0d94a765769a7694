"""`resnexus verify`: does it compute what the original computes?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from resnexus.architectures.spec import Architecture
    from resnexus.parity.agreement import Agreement
    from resnexus.parity.verify import Check

_FAILED = 1


def verify(
    subject: Annotated[str, typer.Argument(help="A network of the series, a file of weights, or an ONNX file.")],
    weights: Annotated[
        Path | None, typer.Option(help="For an ONNX file: the file of weights that it was exported from.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="The network of a file of weights, where names and shapes cannot tell.")
    ] = None,
) -> None:
    """Check a network against the original's recorded logits and stages, and name the mistake if one is known.

    A file of weights is identified, and its network checked. An ONNX file is compared with our network and the same
    weights.

    Exit code 0: the same function, or a file of sound weights for a network that the original has not. 1: another
    function than the original's. 2: it cannot be checked.
    """
    from resnexus.errors import ResnexusError
    from resnexus.weights.convert import SUFFIXES

    suffix = Path(subject).suffix
    if (weights is not None) != (suffix == ".onnx"):
        raise ResnexusError(
            f"{subject}: an ONNX file needs --weights, the file of weights that it was exported from"
            if suffix == ".onnx"
            else f"--weights {weights} has no effect on {subject!r}: it is for an ONNX file"
        )
    if architecture is not None and suffix not in (*SUFFIXES, ".onnx"):
        raise ResnexusError(f"--architecture {architecture} has no effect on {subject!r}: it is for a file of weights")
    if weights is not None:
        passed = _verify_onnx(subject, weights, architecture)
    elif suffix in SUFFIXES:
        passed = _verify_file(Path(subject), architecture)
    else:
        passed = _verify_network(subject)
    if not passed:
        raise typer.Exit(_FAILED)


def _verify_network(model: str | Architecture) -> bool:
    import torch

    from resnexus.parity.verify import verify as check

    checks = [result for dtype in (torch.float64, torch.float32) for result in check(model, dtype=dtype)]
    name = model if isinstance(model, str) else model.name
    print(f"{name}, golden weights, against the original's recorded output")
    for result in checks:
        size = f"{result.image_size[0]}x{result.image_size[1]}"
        print(f"  {size:8} {result.dtype}  {_outcome(result.agreement, result.tolerance)}")
        _explain(result)
    return all(result.passed for result in checks)


def _verify_file(path: Path, architecture: str | None) -> bool:
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
        return _verify_network(found.architecture)
    print(f"{'ANOTHER FUNCTION' if missing.other_function else 'nothing to compare with'}: {printable(missing.reason)}")
    return not missing.other_function


def _verify_onnx(subject: str, weights: Path, architecture: str | None) -> bool:
    from resnexus.errors import printable
    from resnexus.models import create_model
    from resnexus.parity.agreement import FLOAT32_TOLERANCE
    from resnexus.parity.forms import OnnxNetwork, compare_forms
    from resnexus.weights.convert import load_state, ours

    form = OnnxNetwork(subject)
    found, state = ours(load_state(weights), architecture)
    network = create_model(found.architecture, num_classes=found.num_classes, in_chans=found.in_chans).eval()
    network.load_state_dict(state)
    agreement = compare_forms(network, form)
    print(f"{form.path} against {printable(found.architecture.name)} with the weights of {printable(weights)}")
    print(f"  {form.image_size[0]}x{form.image_size[1]}  float32  {_outcome(agreement, FLOAT32_TOLERANCE)}")
    return agreement.within(FLOAT32_TOLERANCE)


def _outcome(agreement: Agreement, tolerance: float) -> str:
    verdict = "same function" if agreement.within(tolerance) else "ANOTHER FUNCTION"
    return f"largest difference {agreement.max_rel:.1e} of the largest logit, tolerance {tolerance:.0e}: {verdict}"


def _explain(check: Check) -> None:
    if check.first_difference is not None:
        print(f"    the first difference is in {check.first_difference}")
    if check.trap is not None:
        print(f"    it looks like {check.trap.name}: {check.trap.explanation}")
