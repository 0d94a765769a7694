"""Optional packages: one way to import them, and the extra that each belongs to."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

from resnexus.errors import ResnexusError


class MissingPackageError(ResnexusError):
    """An optional package that is not installed; the message says how to install it."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """Something that is installed only with an extra.

    Attributes:
        extra: of Resnexus; None if no extra brings it.
        distributions: the names that it is installed under; the first that is there counts.
        reporter: the package that tells its maker of its use, which it does without where that is missing; None if
            there is none.
    """

    extra: str | None
    distributions: tuple[str, ...]
    reporter: str | None = None


def _extra(extra: str, *names: str, **renamed: str) -> dict[str, Package]:
    rows = {name: Package(extra=extra, distributions=(name,)) for name in names}
    return rows | {name: Package(extra=extra, distributions=(dist,)) for name, dist in renamed.items()}


PACKAGES = MappingProxyType(
    _extra("train", "lightning", "torchmetrics", "tensorboard")
    | _extra("dense", "pycocotools")
    | _extra("report", "jinja2", vl_convert="vl-convert-python")
    | _extra("export", "onnx", "onnxscript", "torchao")
    | _extra("sign", model_signing="model-signing")
    | _extra("sbom", cyclonedx_py="cyclonedx-bom")
    | _extra("executorch", "executorch")
    | _extra("hub", "huggingface_hub")
    | _extra("datasets", "datasets")
    | _extra("distill", imagehash="ImageHash")
    | {"mlxtend": Package(extra=None, distributions=("mlxtend",))}
    | {"skimage": Package(extra=None, distributions=("scikit-image",))}
    | {"cv2": Package(extra="images", distributions=("opencv-python-headless", "opencv-python"))}
    | _extra("predict", "pebble")
    | _extra("scale", "ray", "pyarrow")
    | _extra("demo", sklearn="scikit-learn")
    | _extra("timm", "timm")
    | _extra("peers", paddle="paddlepaddle")
    | _extra("dense-peers", "transformers", segmentation_models_pytorch="segmentation-models-pytorch")
    | {
        name: Package(extra="export", distributions=(name,), reporter="openvino_telemetry")
        for name in ("openvino", "nncf")
    }
    | {
        "onnxruntime": Package(extra="export", distributions=("onnxruntime-gpu", "onnxruntime")),
        "tensorrt": Package(extra=None, distributions=("tensorrt", "tensorrt-cu13", "tensorrt-cu12")),
    }
)
"""By the name that they are imported under."""


def required(package: str) -> Any:
    """Import an optional package; what would report its use to its maker is left out.

    Args:
        package: the name that it is imported under, one of `PACKAGES`.

    Raises:
        MissingPackageError: it is not installed.
    """
    row = PACKAGES.get(package)
    if row is not None and row.reporter is not None:
        # As if it were not installed, which both users of it provide for; one that was imported before is left alone.
        sys.modules.setdefault(row.reporter, None)  # type: ignore[arg-type]
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise _missing(package) from error


def installed_version(package: str) -> str:
    """Return the version of an installed package, under any of the names that it comes under.

    Raises:
        MissingPackageError: it is not installed.
    """
    for name in distributions(package):
        with suppress(PackageNotFoundError):
            return version(name)
    raise _missing(package)


def is_installed(package: str) -> bool:
    """Whether a package is installed."""
    try:
        installed_version(package)
    except MissingPackageError:
        return False
    return True


def distributions(package: str) -> tuple[str, ...]:
    """Return the names that a package may be installed under, by the name that it is imported under."""
    return PACKAGES[package].distributions if package in PACKAGES else (package,)


def how_to_install(*packages: str) -> str:
    """Return the command that installs packages: by their extras, or by name where no extra has them."""
    targets = []
    for package in packages:
        row = PACKAGES.get(package)
        targets.append(f"resnexus[{row.extra}]" if row is not None and row.extra else distributions(package)[0])
    return "pip install " + " ".join(f"'{target}'" for target in dict.fromkeys(targets))


def _missing(package: str) -> MissingPackageError:
    return MissingPackageError(f"{package} is not installed: {how_to_install(package)}")
