"""One network as the engines of a benchmark get it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.planning.building import Builder
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.progress import Progress, Silent


@final
class Workload:
    """A network, and what engines need to open it.

    Args:
        network: in evaluation mode; left as it is.
        scratch: a folder for what engines build; removed by whoever made it.
        calibration: (K, C, H, W) float32 images for int8.
        cache_dir: where our own engine keeps plans; the usual place if None.
        backends: which back ends our own engine considers; all that are installed if None.
        seconds: how long each round of planning of our own engine takes.
        progress: told before every step that takes long; nobody if None.

    Attributes:
        network: on the CPU, float32.
        builder: turns it into the files of a back end.
        planned: a folder for what our own engine builds and does not keep.
    """

    def __init__(
        self,
        network: Network | FeatureNetwork,
        scratch: Path,
        *,
        calibration: Tensor | None = None,
        cache_dir: Path | None = None,
        backends: Sequence[str] | None = None,
        seconds: float = 10.0,
        progress: Progress | None = None,
    ) -> None:
        self.scratch, self.calibration, self.cache_dir = scratch, calibration, cache_dir
        self.backends, self.seconds, self.progress = backends, seconds, progress or Silent()
        self.builder = Builder(network, EngineCache(scratch / "kept"), calibration, self.progress)
        self.network = self.builder.network
        self.planned = Path(scratch, "planned")
        self.planned.mkdir()

    @property
    def classifier(self) -> Network:
        """The network, for engines that are opened for the logits of a row alone.

        Raises:
            BackendError: it returns feature maps, or is dilated.
        """
        network = self.network
        if not isinstance(network, Network) or network.output_stride != network.architecture.reductions[-1]:
            raise BackendError("it is opened here for logits at the row's own output stride alone")
        return network
