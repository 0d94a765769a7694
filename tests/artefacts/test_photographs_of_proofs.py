import numpy as np

from resnexus.artefacts.photographs import photographs


def test_eight_different_pictures_of_four_sizes():
    found = photographs()
    assert len(found) == 8
    assert {picture.shape for picture in found} == {(427, 640, 3), (427, 240, 3), (131, 640, 3), (97, 129, 3)}
    assert all(picture.dtype == np.uint8 and picture.std() > 20 for picture in found)
    assert len({picture.tobytes() for picture in found}) == 8
