"""Train one network from start to end."""

from __future__ import annotations

import logging
import signal
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from resnexus.data.batches import collate
from resnexus.data.datasets import LabelledImages
from resnexus.packages import required
from resnexus.progress import Progress, Silent
from resnexus.training.hardware import hardware
from resnexus.training.settings import Settings

if TYPE_CHECKING:
    import lightning

# What Lightning and the PyTorch it calls say about settings that are meant.
_EXPECTED_WARNINGS = (
    r".*does not have many workers.*",
    r".*The number of training batches.*",
    r".*`training_step` returned `None`.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*GPU available but not used.*",
)


def fit(
    network: nn.Module,
    dataset: LabelledImages,
    num_classes: int,
    settings: Settings,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    label: str = "training",
) -> nn.Module:
    """Train `network` in place and return it in evaluation mode, on the CPU.

    It runs where `hardware` says: on the first GPU, or else on the CPU.

    Args:
        network: (N, C, H, W) -> (N, num_classes) logits.
        dataset: what to train on, e.g. `open_dataset(...).train`.
        num_classes: of the logits.
        settings: of the run.
        seed: of the order of the images and of mixup.
        progress: where to report the steps; nowhere if None.
        label: what the stage is called there.

    Raises:
        ResnexusError: an image cannot be read and `settings.allow_bad_images` is False; the loss is not finite;
            or lightning is not installed.
    """
    lightning = required("lightning")
    from resnexus.training.callbacks import Epochs, Steps
    from resnexus.training.classifier import Classifier

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    loader = DataLoader(
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        collate_fn=collate,
        num_workers=settings.workers,
        # A last batch of one image cannot be normalised.
        drop_last=len(dataset) % settings.batch_size == 1,
        generator=torch.Generator().manual_seed(seed),
    )
    network.to(memory_format=torch.channels_last)
    here = hardware()
    progress = Silent() if progress is None else progress
    with warnings.catch_warnings(), progress.stage(label, settings.epochs * len(loader)) as step:
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        trainer = lightning.Trainer(
            accelerator="gpu" if here.device == "cuda" else "cpu",
            devices=1,
            max_epochs=settings.epochs,
            precision=here.precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Steps(step), Epochs(dataset)],
        )
        _fit(trainer, Classifier(network, num_classes, settings, seed), loader)
    return network.cpu().eval()


def _fit(trainer: lightning.Trainer, module: lightning.LightningModule, loader: DataLoader[Any]) -> None:
    """Run the trainer; Ctrl-C arrives here as Lightning's exit and leaves as what it was."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader)
    except SystemExit as stop:
        if trainer.interrupted:
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from stop
        raise
