"""Files of PyTorch and of safetensors that are damaged at random are refused in a sentence, or hold what fits."""

import random
import zipfile

import pytest
import torch

from resnexus import Architecture, ResnexusError, create_model
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from resnexus.weights.convert import load_state, ours

ROW = Architecture(name="least", block="basic", depths=(1,), width=2, out_width=2, stem="small", stem_width=2)
EXTREMES = [value.to_bytes(8, "little") for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)]


def write_safetensors(path):
    record = CheckpointRecord(architecture=ROW, classes=("a", "b"), recipe={"epochs": 1})
    write_checkpoint(state(), path, record)


def write_packed(path):
    torch.save(state(), path)
    with zipfile.ZipFile(path) as plain:
        entries = {item.filename: plain.read(item) for item in plain.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)


WRITERS = {
    "a.safetensors": write_safetensors,
    "zip.pth": lambda path: torch.save(state(), path),
    "packed.pth": write_packed,
    "old.pth": lambda path: torch.save(state(), path, _use_new_zipfile_serialization=False),
}


def state():
    return create_model(ROW, num_classes=2).state_dict()


def damaged(content, draw):
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        # The beginning and the end say what lies where: most of the damage is done there.
        span = draw.choice((64, 512, len(content)))
        at = draw.choice(
            (draw.randrange(min(span, len(content))), len(content) - 1 - draw.randrange(min(span, len(content))))
        )
        match draw.randrange(6):
            case 0:
                content = content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
            case 1:
                content = content[:at] + draw.randbytes(draw.randrange(1, 9)) + content[at:]
            case 2:
                content = content[:at] + content[at + draw.randrange(1, 24) :]
            case 3:
                extreme = draw.choice(EXTREMES)[: draw.choice((1, 2, 4, 8))]
                content = content[:at] + extreme + content[at + len(extreme) :]
            case 4:
                content = content[:at] or b"\0"
            case _:
                some, where = content[at : at + draw.randrange(1, 24)], draw.randrange(len(content))
                content = content[:where] + some + content[where:]
    return content


def loaded(path):
    """Return the state in a file, or the refusal."""
    try:
        return ours(load_state(path), None if path.suffix == ".safetensors" else ROW)
    except ResnexusError as error:
        return error


def damage(name, folder, count, seed):
    path, draw, refused = folder / name, random.Random(seed), 0
    WRITERS[name](path)
    content = path.read_bytes()
    for _ in range(count):
        path.write_bytes(damaged(content, draw))
        result = loaded(path)
        if isinstance(result, ResnexusError):
            assert path.name in str(result)
            assert len(str(result)) < 10_000
            refused += 1
            continue
        found, entries = result
        assert found.architecture.depths == ROW.depths
        assert sum(tensor.nbytes for tensor in entries.values()) <= 8 * path.stat().st_size
    assert count // 4 < refused < count


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files(name, tmp_path):
    damage(name, tmp_path, 150, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", WRITERS)
def test_many_damaged_files(name, seed, tmp_path):
    damage(name, tmp_path, 3_000, seed=1 + seed)
