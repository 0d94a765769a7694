import io
import logging
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from resnexus.data.diagnostics import hear_libtiff, listening
from resnexus.data.images import load_image
from resnexus.data.sources import ImageError


@pytest.fixture(scope="module")
def damaged():
    """TIFFs over which libtiff says something of its own, by what it says."""
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (60, 60, 3), dtype=np.uint8))
    files = {}
    for compression, words in (("tiff_lzw", "code not yet in table"), ("tiff_adobe_deflate", "ZIPDecode")):
        file = io.BytesIO()
        noise.save(file, "TIFF", compression=compression)
        data = bytearray(file.getvalue())
        data[200:5000:7] = bytes(byte ^ 0x55 for byte in data[200:5000:7])
        files[words] = bytes(data)
    return files


def test_others_are_told_as_before(damaged, capfd):
    """What libtiff says of an image that somebody else decodes is printed, as without us."""
    hear_libtiff()
    with pytest.raises(OSError, match="decoder error"):
        Image.open(io.BytesIO(damaged["ZIPDecode"])).load()
    assert "ZIPDecode: Decoding error at scanline 0" in capfd.readouterr().err
    with listening() as remarks, pytest.raises(OSError, match="decoder error"):
        Image.open(io.BytesIO(damaged["ZIPDecode"])).load()
    assert capfd.readouterr().err == ""
    assert remarks.errors[0].startswith("ZIPDecode: Decoding error at scanline 0")


def test_threads_hear_their_own_image_only(damaged, capfd):
    filters, show = list(warnings.filters), warnings.showwarning
    wrong, barrier = [], threading.Barrier(4)

    def decode(words):
        barrier.wait()
        for _ in range(40):
            try:
                load_image(damaged[words])
                wrong.append("no error")
            except ImageError as error:
                if sum(other in error.reason for other in damaged) != 1 or words not in error.reason:
                    wrong.append(error.reason)

    threads = [threading.Thread(target=decode, args=(words,)) for words in (*damaged, *damaged)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert capfd.readouterr() == ("", "")
    assert (list(warnings.filters), warnings.showwarning) == (filters, show)


def test_only_pillow_is_listened_to():
    with listening() as remarks, pytest.warns(UserWarning, match="of a caller"):
        warnings.warn("of a caller", stacklevel=1)
    assert not remarks.warnings


def test_few_messages_are_kept(damaged):
    """Each once: a damaged TIFF repeats itself for every strip."""
    with listening() as remarks:
        for number in (0, 0, 1, 2, 3, 4):
            warnings.warn_explicit(f"remark {number}", UserWarning, f"/PIL/{number}.py", 1, module="PIL.Image")
    assert remarks.warnings == ["remark 0", "remark 1", "remark 2"]


def test_one_listener_within_another():
    with listening() as outer:
        with listening() as inner:
            warnings.warn_explicit("inner", UserWarning, "/PIL/a.py", 1, module="PIL.Image")
        warnings.warn_explicit("outer", UserWarning, "/PIL/a.py", 2, module="PIL.Image")
    assert (outer.warnings, inner.warnings) == (["outer"], ["inner"])


def test_what_pillow_logs(caplog):
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with listening() as remarks:
        logger.error("too many samples: %d", 9)
    assert (remarks.warnings, caplog.messages) == (["too many samples: 9"], [])
    logger.error("somebody else's")
    assert caplog.messages == ["somebody else's"]
