from __future__ import annotations

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.cuda.steps import Place, ProgramRecord, Step, ValueRecord
from studies.gpu_floor import moved_bytes

IMAGES, MAPS, LAST, LOGITS = range(4)
VALUES = (
    ValueRecord(name="images", channels=4, reduction=1),
    ValueRecord(name="maps", channels=8, reduction=1),
    ValueRecord(name="last", channels=16, reduction=2),
    ValueRecord(name="logits", channels=10, reduction=None),
)


def _place(value, channels=None, first=0):
    return Place(value=value, first=first, channels=channels or VALUES[value].channels)


def _bytes(*steps, precision="fp16"):
    written = dict.fromkeys([IMAGES, *(place.value for step in steps for place in step.reads())])
    fill = [
        Step(kind="pool", x=_place(IMAGES), out=_place(value)) for value in written if value != IMAGES
    ]  # what steps read was written
    job = Job(batch_size=3, image_size=(5, 7), precision=precision)

    def moved(those):
        return moved_bytes(ProgramRecord(values=VALUES, outputs=(IMAGES,), steps=(*those,), weights=""), job)

    return moved([*fill, *steps]) - moved(fill)


def test_a_step_moves_what_it_reads_and_writes_and_its_weights():
    pixels, fewer = 3 * 5 * 7, 3 * 3 * 4
    plain = Step(kind="convolve", x=_place(IMAGES), out=_place(MAPS), kernel=3, padding=1, weights=("w", "b"))
    assert _bytes(plain) == 2 * (pixels * (4 + 8) + 8 * (4 * 9 + 1))
    assert _bytes(plain, precision="fp32") == 2 * _bytes(plain)
    strided = Step(kind="convolve", x=_place(MAPS), out=_place(LAST), stride=2, weights=("w",))
    assert _bytes(strided) == 2 * (fewer * (8 + 16) + 16 * 8)  # of four pixels it reads one
    residual = Step(kind="convolve", x=_place(LAST), out=_place(LAST), residual=_place(LAST), weights=("w",), groups=4)
    assert _bytes(residual) == 2 * (fewer * 3 * 16 + 16 * 4)
    part = Step(kind="convolve", x=_place(MAPS, 2, 4), addend=_place(MAPS, 2), out=_place(MAPS, 2), weights=("w",))
    assert _bytes(part) == 2 * (pixels * 6 + 4)


def test_a_pair_moves_nothing_between_its_two_steps():
    fewer = 3 * 3 * 4
    pair = Step(
        kind="pair", x=_place(LAST), out=_place(LAST), kernel=3, padding=1, groups=4, weights=("w", "b", "w2", "b2")
    )
    assert _bytes(pair) == 2 * (fewer * 32 + 16 * (4 * 9 + 1) + 16 * 17)


def test_gates_and_classifiers_read_an_image_once():
    fewer = 3 * 3 * 4
    gate = Step(kind="excite", x=_place(LAST), out=_place(LOGITS), squeezed=5, weights=("w", "b", "w2", "b2"))
    assert _bytes(gate) == 2 * (16 * fewer + 3 * 10 + 5 * 17 + 10 * 6)
    classifier = Step(kind="classify", x=_place(LAST), out=_place(LOGITS), weights=("w", "b"))
    assert _bytes(classifier) == 2 * (16 * fewer + 3 * 10 + 10 * 17)
