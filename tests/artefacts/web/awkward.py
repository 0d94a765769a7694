"""Pictures that decoders disagree on, as files: {name: content}."""

import io

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 61, 97


def _pixels(height=HEIGHT, width=WIDTH, seed=0):
    """Smooth shapes with an edge and some noise, so that JPEG has something to do and an orientation shows."""
    y, x = np.mgrid[0:height, 0:width]
    shades = np.stack([x * 255 / max(1, width - 1), y * 255 / max(1, height - 1), 128 + 60 * np.sin(x / 5)], 2)
    shades[: height // 3, : width // 2] = (200, 30, 60)
    noise = np.random.RandomState(seed).randint(-12, 13, (height, width, 3))
    return np.clip(shades + noise, 0, 255).astype(np.uint8)


def _file(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _picture():
    return Image.fromarray(_pixels())


def _transparent():
    alpha = np.random.RandomState(3).randint(0, 256, (HEIGHT, WIDTH), np.uint8)
    alpha[:20] = 0  # colours that nobody sees
    return Image.fromarray(np.dstack([_pixels(), alpha]))


def _hole():
    palette = _picture().quantize(16)
    return _file(palette, "PNG", transparency=3)


def exact():
    """Lossless ones: every pixel must be the same."""
    picture = _picture()
    frames = [Image.fromarray(_pixels(seed=seed)).quantize(32) for seed in (0, 1)]
    return {
        "plain.png": _file(picture, "PNG"),
        "grey.png": _file(picture.convert("L"), "PNG"),
        "palette.png": _file(picture.quantize(24), "PNG"),
        "bits.png": _file(picture.convert("1"), "PNG"),
        "transparent.png": _file(_transparent(), "PNG"),
        "grey with alpha.png": _file(_transparent().convert("LA"), "PNG"),
        "palette with a hole.png": _hole(),
        "transparent.webp": _file(_transparent(), "WEBP", lossless=True, exact=True),
        "plain.webp": _file(picture, "WEBP", lossless=True),
        "plain.bmp": _file(picture, "BMP"),
        "plain.gif": _file(picture.quantize(32), "GIF"),
        "animated.gif": _file(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "point.png": _file(Image.fromarray(_pixels(1, 1)), "PNG"),
        "wide.png": _file(Image.fromarray(_pixels(3, 3000)), "PNG"),
        "high.png": _file(Image.fromarray(_pixels(3000, 1)), "PNG"),
        "bitmap called.png": _file(picture, "BMP"),
    }


def close():
    """Lossy or rounded ones: decoders may differ by a little."""
    picture = _picture()
    deep = (np.asarray(picture.convert("L")).astype(np.uint16) << 8) + 77
    files = {
        "plain.jpg": _file(picture, "JPEG", quality=90),
        "grey.jpg": _file(picture.convert("L"), "JPEG"),
        "progressive.jpg": _file(picture, "JPEG", progressive=True),
        "fine.jpg": _file(picture, "JPEG", subsampling=0),
        "deep.png": _file(Image.fromarray(deep), "PNG"),
        "lossy.webp": _file(picture, "WEBP"),
        "plain.avif": _file(picture, "AVIF", quality=90),
        "turned.png": _file(picture, "PNG", exif=_turned(6)),
        "upright.webp": _file(picture, "WEBP", quality=95, exif=_turned(1)),
    }
    for orientation in range(2, 9):
        files[f"turned {orientation}.jpg"] = _file(picture, "JPEG", quality=90, exif=_turned(orientation))
    return files


def refused():
    """What has no answer: {name: (content, code)}."""
    picture = _picture()
    jpeg, png = _file(picture, "JPEG"), bytearray(_file(picture, "PNG"))
    png[len(png) // 2] ^= 255
    return {
        "nothing.jpg": (b"", "empty"),
        "page.jpg": (b"<!DOCTYPE html><title>404</title>", "not-an-image"),
        "cut.jpg": (jpeg[: len(jpeg) * 2 // 3], "damaged"),
        "cut.png": (_file(picture, "PNG")[:-20], "damaged"),
        "head.jpg": (jpeg[:4], "damaged"),
        "flipped.png": (bytes(png), "damaged"),
        "page.tif": (_file(picture, "TIFF"), "tiff"),
        "turned.webp": (_file(picture, "WEBP", exif=_turned(6)), "turned"),
        "print.jpg": (_file(picture.convert("CMYK"), "JPEG"), "four-inks"),
    }
