"""Pictures of every awkward kind, and what becomes of each."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.assessment.conftest import network, weights  # noqa: F401  # fixtures


def _rewritten_header(png: bytes, width: int, height: int) -> bytes:
    """A PNG that says it is of another size; nothing behind its header is looked at before that."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.fixture(scope="session")
def awkward(tmp_path_factory) -> tuple[Path, dict[str, str | None]]:
    """A folder, and the error code of each file, None for those that are answered."""
    folder = tmp_path_factory.mktemp("awkward")
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (33, 47, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "exif.jpg", exif=turned)
    picture.convert("L").save(folder / "grey.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.dstack([noise, noise[..., :1]])).save(folder / "alpha.png")
    Image.fromarray(random.integers(0, 65536, (33, 47), dtype=np.uint16)).save(folder / "deep.png")
    picture.convert("P").save(folder / "palette.png")
    picture.save(folder / "animated.gif", save_all=True, append_images=[picture.rotate(90)])
    Image.new("RGB", (1, 1), (9, 99, 199)).save(folder / "dot.png")
    Image.new("RGB", (1, 5000), (9, 99, 199)).save(folder / "line.png")
    picture.save(folder / "plain.png")
    png = (folder / "plain.png").read_bytes()
    (folder / "huge.png").write_bytes(_rewritten_header(png, 12_000, 9_000))
    (folder / "bomb.png").write_bytes(_rewritten_header(png, 60_000, 60_000))
    (folder / "truncated.png").write_bytes(png[: len(png) // 2])
    (folder / "page.jpg").write_text("<!DOCTYPE html><title>404</title>")
    (folder / "empty.jpg").touch()
    Image.fromarray(noise[..., 0].astype(np.float32)).save(folder / "float.tiff")
    codes = dict.fromkeys(sorted(path.name for path in folder.iterdir()))
    codes |= {"huge.png": "too_large", "bomb.png": "too_large", "truncated.png": "damaged", "empty.jpg": "empty"}
    return folder, {**codes, "page.jpg": "unknown_format", "float.tiff": "unsupported_pixels"}


@pytest.fixture
def stand_in_engines(monkeypatch):
    """In place of planned engines, which take minutes to make: the network itself, for one batch size and no other."""
    from resnexus.acceleration import accelerate as module

    def accelerate(model, *, batch_sizes, image_size, precision, progress):
        def engine(images):
            assert tuple(images.shape) == (batch_sizes, model.in_chans, image_size, image_size)
            assert not model.training
            return model(images)

        return engine

    monkeypatch.setattr(module, "accelerate", accelerate)
