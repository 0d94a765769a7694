"""Every network of the series and the baselines under its name in timm's registry: `import resnexus.timm` once.

After that `timm.create_model("Res2Net50_vd_26w_4s.ssld", pretrained=True, features_only=True)` and whatever takes
timm's names takes ours. Published weights come from our own store: fetched once, checked, offline and from a mirror if
you say so. `local-dir:FOLDER` and `hf-hub:USER/NAME` read what `resnexus.weights.hub.save_pretrained` wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.features import flat_children
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.architectures.stage import set_grad_checkpointing
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, unknown
from resnexus.packages import required
from resnexus.series.checkpoints import Checkpoint, checkpoints
from resnexus.weights.checkpoint_file import CheckpointRecord
from resnexus.weights.convert import Loaded, ours
from resnexus.weights.detect import differing_fields
from resnexus.weights.mapping import FIRST_CONV
from resnexus.weights.store import fetch

required("timm")

from timm.layers import SelectAdaptivePool2d  # noqa: E402  # said first, if timm is missing
from timm.models import (  # noqa: E402
    FeatureDictNet,
    FeatureListNet,
    build_model_with_cfg,
    generate_default_cfgs,
    register_model,
    resolve_pretrained_cfg,
)

__all__: list[str] = []  # timm adds every name that it registers

_FIELDS = tuple(field.name for field in fields(Architecture) if field.name != "name")
_NETWORK = ("num_classes", "in_chans", "output_stride", "global_pool", "drop_rate", "drop_path_rate")
_BUILDER = ("features_only", "out_indices", "feature_cls", "pretrained_strict", "pretrained_model_args", "cache_dir")
_POOLS = ("", "avg", "max", "avgmax", "catavgmax", "fast", "fastavg", "fastmax", "fastavgmax", "fastcatavgmax")


class TimmNetwork(Network):
    """A network with what timm's training and fine-tuning ask of one.

    Args:
        row: what to build.
        num_classes: outputs of the last layer, 0 for none.
        in_chans: channels of the image.
        output_stride: as for `Network`; timm's 32 is the row's own.
        global_pool: `"avg"`, another of timm's, or `""` for none, then with num_classes=0.
        drop_rate: dropout before the last layer, in training.
        drop_path_rate: stochastic depth of the last block, in training; of the others linearly less.

    Raises:
        ResnexusError: a value that is not accepted.
    """

    def __init__(
        self,
        row: Architecture,
        num_classes: int = 1000,
        in_chans: int = 3,
        output_stride: int | None = 32,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        whole = output_stride == 32 and row.stem == "small"  # timm's default says "not dilated"
        super().__init__(row, 0, in_chans, None if whole else output_stride)
        for name, rate in (("drop_rate", drop_rate), ("drop_path_rate", drop_path_rate)):
            if not 0 <= rate < 1:
                raise ResnexusError(f"{name}={rate}: expected at least 0 and less than 1")
        self.drop_rate = drop_rate
        self.feature_info: Any = [
            {"num_chs": info.num_chs, "reduction": info.reduction, "module": info.module, "index": index}
            for index, info in enumerate(self.feature_info)
        ]
        self.reset_classifier(num_classes, global_pool)
        blocks = [block for stage in self.stages for block in stage.children()]
        for index, block in enumerate(blocks if drop_path_rate else ()):
            block.drop_path = StochasticDepth(drop_path_rate * index / max(1, len(blocks) - 1), "row")

    @property
    def deviation(self) -> str:
        """What makes it another function than its row's at its output stride; empty if nothing does."""
        pool = self.global_pool.pool_type
        return "" if pool == "avg" else f"global_pool={pool!r}"

    @property
    def head_hidden_size(self) -> int:
        """Channels that enter the last layer."""
        pool = self.global_pool if hasattr(self, "global_pool") else None
        return self.num_features * (1 if pool is None else int(pool.feat_mult()))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, num_features, h, w) -> (N, num_classes) logits, or what enters the last layer if `pre_logits`."""
        # timm's own average is another order of additions.
        x = x.mean((2, 3)) if self.global_pool.pool_type == "avg" else self.global_pool(x)
        if self.drop_rate:
            x = F.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.head(x)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer, and the pool before it if one is named.

        Raises:
            ResnexusError: a value that is not accepted.
        """
        if global_pool is not None:
            if global_pool not in _POOLS:
                raise unknown("global_pool", global_pool, _POOLS)
            self.global_pool = SelectAdaptivePool2d(pool_type=global_pool, flatten=bool(global_pool))
            self.global_pool.train(self.training)
        if num_classes and hasattr(self, "global_pool") and not self.global_pool.pool_type:
            raise ResnexusError(
                f"global_pool='' leaves maps, which {num_classes} classes cannot be told from: num_classes=0"
            )
        super().reset_classifier(num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return the groups of parameters, for learning rates that decay from layer to layer."""
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"}

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the stages behind the last feature map that is named, and the head.

        Args:
            indices: as for `forward_intermediates`.
            prune_norm: has no effect: there is no last normalisation.
            prune_head: drop the head too.

        Returns:
            The maps that were named, from 0.

        Raises:
            ResnexusError: no such map.
        """
        kept = self._map_indices(indices)
        self.stages = self.stages[: max(kept)]
        if prune_head:
            self.reset_classifier(0, "")
        return list(kept)


class _Flat(nn.Module):
    """Stem, pool and stages of a network side by side, which is what timm's feature lists are made of."""

    def __init__(self, network: TimmNetwork) -> None:
        super().__init__()
        children = flat_children(network.stem, network.stages)
        for name, child in children.items():
            self.add_module(name, child)
        maps = [name for name in children if name != "pool"]
        self.feature_info = [{**info, "module": name} for name, info in zip(maps, network.feature_info, strict=True)]


class FeatureList(FeatureListNet):  # type: ignore[misc]  # timm is not typed
    """Feature maps as a list, in the order in which they were asked for."""

    def __init__(self, model: TimmNetwork, **options: Any) -> None:
        super().__init__(_Flat(model), **options)
        # In the order asked for, where timm has that of the modules. transformers puts all maps here to see more.
        returned = vars(self)["return_layers"]
        self.return_layers = {name: returned[name] for name in self.feature_info.module_name()}

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_chans, H, W) images -> per map asked for, (N, channels, H / reduction, W / reduction), rounded up."""
        found = self._collect(x)
        return [found[number] for number in self.return_layers.values() if number in found]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass; its running statistics count a batch once."""
        set_grad_checkpointing(self, enable)


class FeatureDict(FeatureDictNet):  # type: ignore[misc]
    """Feature maps as a dictionary, by number."""

    def __init__(self, model: TimmNetwork, **options: Any) -> None:
        super().__init__(_Flat(model), **options)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass; its running statistics count a batch once."""
        set_grad_checkpointing(self, enable)


_FLAT: dict[str, type[nn.Module]] = {"list": FeatureList, "dict": FeatureDict}


def _build(
    name: str,
    pretrained: bool = False,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    accepted = (*_NETWORK, *_BUILDER, *_FIELDS)
    for option in options:
        if option not in accepted:
            raise unknown(f"option of {name} in timm", option, accepted)
    row = replace(CATALOG[name], **{key: options.pop(key) for key in _FIELDS if key in options})
    overlay = dict(pretrained_cfg_overlay or {})
    if pretrained:
        overlay |= _from_store(row, resolve_pretrained_cfg(name, pretrained_cfg, overlay))
    kind = options.get("feature_cls", "list")
    if isinstance(kind, str):
        options["feature_cls"] = _FLAT.get(kind.lower(), kind)
    if not options.get("features_only"):
        del options["feature_cls"]
    network: nn.Module = build_model_with_cfg(
        TimmNetwork,
        name,
        pretrained,
        pretrained_cfg=pretrained_cfg,
        pretrained_cfg_overlay=overlay,
        pretrained_filter_fn=_in_our_names,
        row=row,
        **options,
    )
    if pretrained:
        _keep_statistics(network)
    return network


def _keep_statistics(network: nn.Module) -> None:
    """Have transformers (5.24) leave trained statistics alone: TimmBackbone sets those it has no word of to 0 and 1."""
    for buffer in network.buffers():
        buffer._is_hf_initialized = True  # type: ignore[attr-defined]  # the word it looks for


def _from_store(row: Architecture, source: Any) -> dict[str, Any]:
    """Return where the weights lie on this machine, if the source is one of the published checkpoints."""
    if source.file or source.state_dict or source.source in ("hf-hub", "local-dir"):
        return {}
    record = next((record for record in checkpoints().values() if record.url == source.url), None)
    if record is None:
        return {}
    if changed := differing_fields(row, CATALOG[row.name]):
        raise ResnexusError(
            f"{changed}: the weights {record.tag!r} are those of the published {row.name}; leave that out"
        )
    return {"file": str(fetch(record))}


def _in_our_names(state: Mapping[str, Tensor], network: TimmNetwork) -> dict[str, Tensor]:
    loaded = Loaded(path=Path("pretrained weights"), entries=dict(state), record=CheckpointRecord(version=None))
    return ours(loaded, network.architecture)[1]


def _configuration(row: Architecture, record: Checkpoint | None) -> dict[str, Any]:
    preprocess = Preprocess() if record is None else record.preprocess
    side = preprocess.size // row.reductions[-1]
    found = {
        "input_size": (3, preprocess.size, preprocess.size),
        "pool_size": (side, side),
        "crop_pct": preprocess.size / preprocess.resize_short,
        "interpolation": preprocess.interpolation,
        "mean": tuple(preprocess.mean),
        "std": tuple(preprocess.std),
        "num_classes": 1000,
        "first_conv": FIRST_CONV.removesuffix(".weight"),
        "classifier": "head",
    }
    if record is not None:
        found |= {"url": record.url, "license": record.licence.lower(), "origin_url": record.url}
    return found


def _configurations() -> dict[str, dict[str, Any]]:
    found = {f"{record.architecture}.{record.tag}": record for record in checkpoints().values()}
    trained = {record.architecture for record in found.values()}
    rows = {name: _configuration(CATALOG[record.architecture], record) for name, record in found.items()}
    return rows | {name: _configuration(row, None) for name, row in CATALOG.items() if name not in trained}


def _entry(name: str) -> Callable[..., nn.Module]:
    def build(pretrained: bool = False, **options: Any) -> nn.Module:
        return _build(name, pretrained, **options)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"Create {name}; the arguments are those of `timm.create_model`, and the fields of a row."
    return build


default_cfgs = generate_default_cfgs(_configurations())  # timm looks for this name

for _name in CATALOG:
    register_model(_entry(_name))
