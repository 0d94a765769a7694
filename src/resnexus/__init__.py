"""ResNeXt, SENet and Res2Net for PyTorch: the same functions as PaddleClas computes, measured and fast.

The names below and the rooms, such as `resnexus.weights`, load on first use, so that `import resnexus` and the command
line start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnexus.acceleration.accelerate import accelerate as accelerate
    from resnexus.architectures.catalog import architecture as architecture
    from resnexus.architectures.complexity import complexity as complexity
    from resnexus.architectures.spec import Architecture as Architecture
    from resnexus.artefacts.artefact import open_artefact as open_artefact
    from resnexus.artefacts.export import export as export
    from resnexus.comparison.compare import compare as compare
    from resnexus.data.datasets import open_dataset as open_dataset
    from resnexus.data.preprocess import Preprocess as Preprocess
    from resnexus.errors import ResnexusError as ResnexusError
    from resnexus.evaluation.evaluate import evaluate as evaluate
    from resnexus.models import create_model as create_model
    from resnexus.prediction.predictor import Predictor as Predictor
    from resnexus.prediction.predictor import predict as predict
    from resnexus.quantisation.quantize import quantize as quantize
    from resnexus.series.listing import list_models as list_models
    from resnexus.trainer import train as train
    from resnexus.version import __version__ as __version__

_HOME = {
    "__version__": "resnexus.version",
    "Architecture": "resnexus.architectures.spec",
    "Predictor": "resnexus.prediction.predictor",
    "Preprocess": "resnexus.data.preprocess",
    "ResnexusError": "resnexus.errors",
    "accelerate": "resnexus.acceleration.accelerate",
    "architecture": "resnexus.architectures.catalog",
    "compare": "resnexus.comparison.compare",
    "complexity": "resnexus.architectures.complexity",
    "create_model": "resnexus.models",
    "evaluate": "resnexus.evaluation.evaluate",
    "export": "resnexus.artefacts.export",
    "list_models": "resnexus.series.listing",
    "open_artefact": "resnexus.artefacts.artefact",
    "open_dataset": "resnexus.data.datasets",
    "predict": "resnexus.prediction.predictor",
    "quantize": "resnexus.quantisation.quantize",
    "train": "resnexus.trainer",
}
_ROOMS = (
    "acceleration",
    "architectures",
    "artefacts",
    "assessment",
    "benchmark",
    "comparison",
    "data",
    "distillation",
    "evaluation",
    "parity",
    "prediction",
    "quantisation",
    "report",
    "rewrites",
    "series",
    "training",
    "weights",
)

__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"resnexus.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'resnexus' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted((*__all__, *_ROOMS))
