"""Save a network as a folder that the Hugging Face Hub can show, read it back, and upload it."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from resnexus.architectures.complexity import complexity
from resnexus.architectures.network import Network
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.files import write_text
from resnexus.packages import required
from resnexus.records import write_json
from resnexus.series.checkpoints import Checkpoint
from resnexus.version import __version__
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from resnexus.weights.convert import load_state, ours
from resnexus.weights.hub_config import CONFIG, config_of, read_config
from resnexus.weights.pretrained import assign

WEIGHTS, CARD = "model.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, CARD)

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def save_pretrained(
    model: Network,
    folder: str | os.PathLike[str],
    *,
    checkpoint: Checkpoint | None = None,
    preprocess: Preprocess | None = None,
    licence: str | None = None,
    repo_id: str = "USER/NAME",
) -> Path:
    """Write `config.json`, `model.safetensors` and a model card `README.md` to a folder, replacing those there.

    The configuration has the fields of timm's (`architecture`, `num_classes`, `num_features`, `pretrained_cfg` with
    the preprocessing); the entries of the weights have our names.

    Args:
        model: the network.
        folder: made if it is not there.
        checkpoint: the record whose weights these are, unchanged; it gives the card its figures, and what is not
            given below.
        preprocess: how images are to be prepared; by default what the checkpoint says, or the network's own record.
        licence: SPDX identifier of the weights' licence; left out of the card if None.
        repo_id: the repository that the card's example reads from.

    Returns:
        The folder.

    Raises:
        ResnexusError: huggingface_hub is not installed; neither `checkpoint` nor `preprocess` is given; the model
            has other classes or channels than they say; or the folder cannot be written.
    """
    if checkpoint is not None:
        if model.architecture.name != checkpoint.architecture or model.num_classes != 1000:
            raise ResnexusError(
                f"checkpoint={checkpoint.name}: its figures are those of {checkpoint.architecture} with 1000 classes, "
                f"not of {model.architecture.name} with {model.num_classes}; give preprocess= instead"
            )
        preprocess, licence = preprocess or checkpoint.preprocess, licence or checkpoint.licence
    record = _record(model, checkpoint, preprocess, licence)
    preprocess = record.preprocess
    if preprocess is None:
        raise ResnexusError("preprocess=None: say how images are to be prepared, or give the checkpoint= record")
    if preprocess.in_chans != model.in_chans:
        raise ResnexusError(f"preprocess is for {preprocess.in_chans} image channels, the model for {model.in_chans}")
    card = _card(required("huggingface_hub"), model, checkpoint, preprocess, record.licence, repo_id)
    folder = Path(folder)
    write_checkpoint(model.state_dict(), folder / WEIGHTS, record)
    write_json(config_of(model, record, preprocess), folder / CONFIG)
    write_text(card, folder / CARD)
    return folder


def _record(
    model: Network, checkpoint: Checkpoint | None, preprocess: Preprocess | None, licence: str | None
) -> CheckpointRecord:
    """Return what the weights say about themselves.

    Of what the network was created with, the classes, the preprocessing and the licence hold for what it became; the
    rest is told of a checkpoint that is given.
    """
    known = CheckpointRecord() if model.record is None else model.record
    record = CheckpointRecord(
        architecture=model.architecture,
        classes=known.classes if known.classes is not None and len(known.classes) == model.num_classes else None,
        multi_label=known.multi_label,
        preprocess=preprocess or known.preprocess,
        licence=licence or known.licence,
    )
    if checkpoint is None:
        return record
    return replace(
        record,
        classes=checkpoint.classes,
        recipe=None if checkpoint.recipe is None else checkpoint.recipe.flat(),
        source=checkpoint.url,
        checkpoint=checkpoint.name,
        tag=checkpoint.tag,
    )


def from_pretrained(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None
) -> Network:
    """Return the network that `save_pretrained` wrote, in training mode.

    Nothing in the folder is run: the configuration is JSON, and the weights must fit the row in it exactly.

    Args:
        source: a folder, or a repository of the Hub, `"USER/NAME"`.
        revision: branch, tag or commit of the repository.
        token: for a private repository.

    Raises:
        ResnexusError: no such folder or repository, or what lies there is not such a network.
    """
    folder = pretrained_folder(source, revision=revision, token=token)
    row, loaded = read_config(folder).row, load_state(folder / WEIGHTS)
    found, state = ours(loaded, row)
    with torch.device("meta"):
        network = Network(row, num_classes=found.num_classes, in_chans=found.in_chans)
    assign(network, state)
    network.record = replace(loaded.record, architecture=row)
    return network


def read_preprocess(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None
) -> Preprocess:
    """Return how images are to be prepared for the network that `from_pretrained` returns; same arguments."""
    return read_config(pretrained_folder(source, revision=revision, token=token)).preprocess


def push_to_hub(
    model: Network,
    repo_id: str,
    *,
    checkpoint: Checkpoint | None = None,
    preprocess: Preprocess | None = None,
    licence: str | None = None,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload a network with Resnexus",
) -> str:
    """Upload what `save_pretrained` writes to a repository of the Hub, making it if it is not there.

    Args:
        model: the network.
        repo_id: `"USER/NAME"`.
        checkpoint: as for `save_pretrained`.
        preprocess: as for `save_pretrained`.
        licence: as for `save_pretrained`.
        private: make the repository private, if it is made.
        token: of a user who may write there; by default the one stored by `hf auth login`.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        ResnexusError: as for `save_pretrained`, or not the name of a repository.
    """
    if not _REPO_ID.fullmatch(repo_id):
        raise ResnexusError(f"repo_id={repo_id!r}: expected USER/NAME")
    api = required("huggingface_hub").HfApi(token=token, library_name="resnexus", library_version=__version__)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, checkpoint=checkpoint, preprocess=preprocess, licence=licence, repo_id=repo_id)
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    return str(commit.commit_url)


def pretrained_folder(source: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None) -> Path:
    """Return the folder of a saved network: `source` itself, or the Hub's copy on this machine, fetched if need be."""
    if Path(source).is_dir():
        if revision is not None:
            raise ResnexusError(f"revision={revision!r} has no effect: {os.fspath(source)} is a folder")
        return Path(source)
    if not isinstance(source, str) or not _REPO_ID.fullmatch(source):
        raise ResnexusError(f"{os.fspath(source)}: neither a folder nor a repository of the Hub, USER/NAME")
    hub = required("huggingface_hub")
    try:
        return Path(hub.snapshot_download(source, revision=revision, token=token, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        raise ResnexusError(f"{source}: not a folder here, and the Hub does not give it: {error}") from error


def _card(
    hub: ModuleType,
    model: Network,
    checkpoint: Checkpoint | None,
    preprocess: Preprocess,
    licence: str | None,
    repo_id: str,
) -> str:
    row, cost = model.architecture, complexity(model, preprocess.size)
    figures = [] if checkpoint is None else [("Top-1", checkpoint.published.top1), ("Top-5", checkpoint.published.top5)]
    results = [
        hub.EvalResult(
            task_type="image-classification",
            dataset_type="imagenet-1k",
            dataset_name="ImageNet-1k",
            dataset_split="validation",
            metric_type="accuracy",
            metric_name=f"{metric} accuracy, as published",
            metric_value=round(100 * value, 2),
        )
        for metric, value in figures
    ]
    data = hub.ModelCardData(
        license=None if licence is None else licence.lower(),
        library_name="resnexus",
        pipeline_tag="image-classification",
        tags=["image-classification", "resnexus", row.family.lower()] + ([checkpoint.tag] if checkpoint else []),
        datasets=["imagenet-1k"] if checkpoint else None,
        metrics=["accuracy"] if checkpoint else None,
        model_name=checkpoint.name if checkpoint else row.name,
        eval_results=results or None,
    )
    lines = [
        f"# {data.model_name}",
        f"{row.family} network `{row.name}` for images of {model.in_chans} x {preprocess.size} x {preprocess.size}, "
        f"{model.num_classes} classes: {cost.mparams:.2f} M parameters, {cost.gflops:.2f} GFLOPs "
        "(2 x multiply-adds, convolutions and linear layers).",
    ]
    if checkpoint is not None:
        lines.append(
            f"Converted from <{checkpoint.url}> ({checkpoint.licence}). Published accuracy on ImageNet-1k's "
            f"validation images: {100 * checkpoint.published.top1:.1f} % top-1, "
            f"{100 * checkpoint.published.top5:.1f} % top-5."
        )
        if checkpoint.tag == "ssld":
            lines.append("Distilled from a teacher on ImageNet-1k and some 4 million unlabelled images (SSLD).")
    lines += [
        f"Images: short side to {preprocess.resize_short} ({preprocess.interpolation}, "
        f"{'with' if preprocess.antialias else 'without'} antialias), centre crop {preprocess.size}, "
        f"mean {list(preprocess.mean)}, std {list(preprocess.std)}.",
        "```python\nfrom resnexus.weights.hub import from_pretrained, read_preprocess\n\n"
        f'network = from_pretrained("{repo_id}").eval()\n'
        f'preprocess = read_preprocess("{repo_id}")\n'
        'logits = network(preprocess("photo.jpg")[None])\n```',
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(lines) + "\n"
