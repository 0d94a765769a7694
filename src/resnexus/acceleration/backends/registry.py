"""The back ends by name, and which of them run something here."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import import_module

from resnexus.acceleration.backends.contract import Backend, BackendError, Precision
from resnexus.errors import unknown
from resnexus.packages import how_to_install
from resnexus.version import __version__

# Where each lives; imported on use, because each needs a package that may be missing.
_HOMES = {
    "native": "resnexus.acceleration.backends.native",
    "torch": "resnexus.acceleration.backends.torch",
    "openvino": "resnexus.acceleration.backends.openvino",
    "onnxruntime": "resnexus.acceleration.backends.onnxruntime",
    "cuda": "resnexus.acceleration.backends.cuda",
}
BACKENDS = tuple(_HOMES)


def backend(name: str) -> Backend:
    """Return the back end called `name`, installed or not.

    Raises:
        ResnexusError: no back end is called that.
    """
    if name not in _HOMES:
        raise unknown("back end", name, _HOMES)
    found: Backend = import_module(_HOMES[name]).BACKEND
    return found


def usable_backends(device: str, precision: Precision, names: Iterable[str] | None = None) -> list[Backend]:
    """Return the back ends that run `precision` on `device` here.

    Args:
        device: e.g. `"cpu"`.
        precision: what to compute in.
        names: the back ends to consider, each of which must then be usable; all that are installed if None.

    Raises:
        BackendError: one of `names` is not installed or cannot run it, or no back end at all can.
    """
    if names is not None:
        chosen = [backend(name) for name in names]
        for entry in chosen:
            _check_installed(entry, precision)
            if precision not in entry.precisions(device):
                raise BackendError(f"back end {entry.name!r} does not run {precision} on {device} on this machine")
        if not chosen:
            raise BackendError(f"backends=(): name at least one of {', '.join(BACKENDS)}")
        return chosen
    everything = [backend(name) for name in BACKENDS]
    found = [entry for entry in everything if entry.is_usable(device, precision)]
    if not found:
        absent = sorted({package for entry in everything for package in entry.missing(precision)})
        fix = f"; not installed: {', '.join(absent)} ({how_to_install(*absent)})" if absent else ""
        raise BackendError(f"no back end here runs {precision} on {device}{fix}")
    return found


def versions(backends: Iterable[Backend], precision: Precision) -> dict[str, str]:
    """Return package -> version of Resnexus and everything that the back ends are made of."""
    found = {"resnexus": __version__, "python": platform.python_version()}
    for entry in backends:
        found |= entry.versions(precision)
    return found


def _check_installed(entry: Backend, precision: Precision) -> None:
    missing = entry.missing(precision)
    if missing:
        raise BackendError(
            f"back end {entry.name!r} needs {', '.join(missing)} for {precision}, not installed: "
            f"{how_to_install(*missing)}"
        )
