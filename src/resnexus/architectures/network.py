"""The network class, built from a row, and the one that returns its feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from resnexus.architectures.blocks import Stem
from resnexus.architectures.dilation import resolved_output_stride
from resnexus.architectures.features import FeatureInfo, feature_info, feature_maps, resolved_indices
from resnexus.architectures.spec import Architecture
from resnexus.architectures.stage import NotScriptable, Stage, set_grad_checkpointing
from resnexus.errors import ResnexusError


class Network(NotScriptable):
    """Stem, stages of residual blocks, global average pool, one fully connected layer.

    torch.compile, torch.export, torch.fx and torch.jit.trace take it; torch.jit.script does not, and says so.

    Args:
        row: what to build.
        num_classes: outputs of the last layer; 0 leaves it out, and the pooled features are returned.
        in_chans: channels of the image.
        output_stride: image pixels per pixel of the last map, see `resnexus.architectures.dilation`; the row's own,
            32 or with a small stem 8, if None.

    Attributes:
        architecture: the row.
        in_chans: as given.
        output_stride: as given, or the row's own.
        feature_info: all feature maps: 0 is the stem's, 1 to 4 are those of the stages.
        num_features: channels of the last one.
        record: what is known of the trained weights it was created with, a `resnexus.weights.CheckpointRecord`; None if
            it was created with drawn ones.

    Raises:
        ResnexusError: a number that is not accepted.
    """

    record: Any = None

    def __init__(
        self, row: Architecture, num_classes: int = 1000, in_chans: int = 3, output_stride: int | None = None
    ) -> None:
        super().__init__()
        _check_count("in_chans", in_chans, least=1)
        self.architecture = row
        self.in_chans = in_chans
        self.output_stride = resolved_output_stride(row, output_stride)
        self.feature_info = feature_info(row, self.output_stride)
        self.num_features = row.outer_width(len(row.depths) - 1)
        self.stem = Stem(row, in_chans)
        self.stages = nn.Sequential(*(Stage.of(row, stage, self.output_stride) for stage in range(len(row.depths))))
        self.reset_classifier(num_classes)
        initialise(self)

    def stage_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the output of every stage by name.

        Args:
            x: (N, in_chans, H, W) images.

        Returns:
            `"stage0"` .. `"stage3"` -> (N, channels, H / reduction, W / reduction), rounded up.
        """
        maps = feature_maps(self.stem, self.stages, x, range(1, len(self.stages) + 1))
        return {f"stage{number - 1}": feature for number, feature in maps.items()}

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the last feature map and others beside it, as timm does, but in the order in which they are named.

        Args:
            x: (N, in_chans, H, W) images.
            indices: maps by number, 0 the stem's; negative ones count from the last; an int is the last so many, as
                with timm; None is all.
            norm: has no effect: no map of these networks is normalised after it was made.
            stop_early: do not run the stages behind the last map that is named.
            output_fmt: `"NCHW"`.
            intermediates_only: leave out the last feature map.

        Returns:
            The last map that was run, (N, num_features, H / 32, W / 32), and the list of those named; or the list.

        Raises:
            ResnexusError: no such map, or another format.
        """
        if output_fmt != "NCHW":
            raise ResnexusError(f"output_fmt={output_fmt!r}: feature maps are NCHW only")
        wanted = self._map_indices(indices)
        stages = self.stages[: max(wanted)] if stop_early else self.stages
        found = feature_maps(self.stem, stages, x, wanted)
        intermediates = [found[index] for index in wanted]
        return intermediates if intermediates_only else (found[len(stages)], intermediates)

    def _map_indices(self, indices: int | Sequence[int] | None) -> tuple[int, ...]:
        maps = len(self.stages) + 1
        if indices is None:
            indices = range(maps)
        elif isinstance(indices, int):
            if not 0 < indices <= maps:
                raise ResnexusError(f"indices={indices}: as a number, of the last maps; expected 1 to {maps}")
            indices = range(maps - indices, maps)
        return resolved_indices(indices, maps)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) images -> (N, num_features, H / 32, W / 32), the output of the last stage."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, num_features, h, w) -> (N, num_classes) logits, or the (N, num_features) means if `pre_logits`."""
        x = x.mean((2, 3))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) images -> (N, num_classes) logits."""
        return self.forward_head(self.forward_features(x))

    @property
    def deviation(self) -> str:
        """What makes it another function than its row's at its output stride, in words; empty if nothing does."""
        return ""

    @property
    def head_hidden_size(self) -> int:
        """Channels that enter the last layer."""
        return self.num_features

    def get_classifier(self, name_only: bool = False) -> nn.Module | str:
        """Return the last layer, `nn.Linear` or, if there are no classes, `nn.Identity`; or its name."""
        return "head" if name_only else self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a freshly initialised one, on the same device and in the same dtype.

        What the `record` says of the old one, classes and accuracy, is forgotten.

        Raises:
            ResnexusError: `num_classes` is not a whole number of at least 0.
        """
        _check_count("num_classes", num_classes, least=0)
        if self.record is not None:
            self.record = self.record.with_fresh_head()
        self.num_classes = num_classes
        if num_classes == 0:
            self.head: nn.Module = nn.Identity()
            return
        like = next(self.parameters())
        self.head = nn.Linear(self.head_hidden_size, num_classes, device=like.device, dtype=like.dtype)
        initialise(self.head)

    @property
    def grad_checkpointing(self) -> bool:
        """Whether every block is computed again in the backward pass."""
        return any(stage.grad_checkpointing for stage in self.stages if isinstance(stage, Stage))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass instead of keeping its activations."""
        set_grad_checkpointing(self, enable)


class FeatureNetwork(NotScriptable):
    """Stem and stages as far as they are asked for; returns feature maps, as timm's `features_only=True` does.

    Args:
        row: what to build.
        out_indices: the maps to return, in any order: 0 is the stem's at stride 2 (before its max pool; at stride 1
            with a small stem), 1 to 4 are those of the stages at strides 4 to 32; negative numbers count from the
            last. All if None.
        in_chans: channels of the image.
        output_stride: as for `Network`.

    Attributes:
        architecture: the row.
        in_chans: as given.
        output_stride: as given, or the row's own.
        out_indices: the maps that are returned, none of them negative.
        feature_info: the maps that are returned, in that order.
        record: as for `Network`.

    Raises:
        ResnexusError: an index that is no map, or twice the same; or a number that is not accepted.
    """

    record: Any = None

    def __init__(
        self,
        row: Architecture,
        out_indices: Sequence[int] | None = None,
        in_chans: int = 3,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        network = Network(row, num_classes=0, in_chans=in_chans, output_stride=output_stride)
        maps = network.feature_info
        self.architecture = row
        self.in_chans = in_chans
        self.output_stride = network.output_stride
        self.out_indices = resolved_indices(range(len(maps)) if out_indices is None else out_indices, len(maps))
        self.feature_info = FeatureInfo(maps[index] for index in self.out_indices)
        self.stem = network.stem
        self.stages = network.stages[: max(self.out_indices)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_chans, H, W) images -> per map asked for, (N, channels, H / reduction, W / reduction), rounded up."""
        found = feature_maps(self.stem, self.stages, x, self.out_indices)
        return [found[index] for index in self.out_indices]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass instead of keeping its activations."""
        set_grad_checkpointing(self, enable)


def initialise(module: nn.Module) -> None:
    """Draw the weights of `module` as published.

    Convolutions: Normal(0, sqrt(2 / (k * k * in_channels))), the channels *not* divided by the groups.
    Linear layers: Uniform(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), biases 0. Normalisations: 1 and 0, none of them
    zero-initialised. Parameters on the meta device have no values to draw, and are left alone: the first drawing there
    would have PyTorch import seconds of machinery.
    """
    if any(parameter.is_meta for parameter in module.parameters()):
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels
            nn.init.normal_(layer.weight, std=(2 / fan) ** 0.5)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()


def _check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ResnexusError(f"{name}={value!r}: expected a whole number of at least {least}")
