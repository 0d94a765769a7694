"""Small pictures, networks and caches that several tests of the student share."""

import numpy as np
import torch
from PIL import Image

import resnexus
from resnexus.data.preprocess import Preprocess
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

ROW = resnexus.Architecture(name="t", block="bottleneck", depths=(1,), width=4, out_width=8, stem="small", stem_width=8)
CLASSES = ("cat", "dog")
SMALL = {
    "epochs": 1, "global_batch_size": 4, "image_size": 8, "eval_size": 8, "resize_short": 8, "warmup_epochs": 0,
}  # fmt: skip
HERE = {"device": "cpu"}


class Anybodys(torch.nn.Module):
    """A network as a module of which nothing is known."""

    def __init__(self, network):
        super().__init__()
        self.inner = network

    def forward(self, images):
        return self.inner(images)


def picture(random, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (10, 10, 3), dtype=np.uint8)).save(path)


def folders(root, labelled=4, val=2, pool=6):
    """`labelled/train/CLASS/`, `labelled/val/CLASS/` and `pool/`, of noise."""
    random = np.random.default_rng(0)
    for part, count in (("train", labelled), ("val", val)):
        for name in CLASSES:
            for number in range(count):
                picture(random, root / "labelled" / part / name / f"{number}.png")
    for number in range(pool):
        picture(random, root / "pool" / f"{number}.png")
    return root


def teacher(path, seed=1, **known):
    """A file of drawn weights that says what a trained teacher's would."""
    torch.manual_seed(seed)
    network = resnexus.create_model(ROW, num_classes=len(CLASSES))
    with torch.no_grad():
        network.head.weight.mul_(30)  # of drawn weights all answers are nearly the same
    known = {"classes": CLASSES, "preprocess": Preprocess(size=8, resize_short=8)} | known
    write_checkpoint(network.state_dict(), path, CheckpointRecord(architecture=ROW, **known))
    return path
