from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import resnexus
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.planning.judge import DisagreementError, Referee, probe_images


def _job(precision="fp32", batch_size=4) -> Job:
    return Job(batch_size=batch_size, image_size=(16, 16), precision=precision)


def _off_by(network, relative: float):
    def run(images):
        with torch.inference_mode():
            logits = network(images).clone()
            logits[0, 0] += relative * logits.abs().max()
        return logits

    return run


def test_float32_may_differ_by_a_ten_thousandth(tiny):
    referee = Referee(tiny, _job())
    assert referee.judge(_off_by(tiny, 0.0)).max_abs == 0
    assert referee.judge(_off_by(tiny, 9e-5)).max_rel == pytest.approx(9e-5, rel=1e-2)
    with pytest.raises(DisagreementError, match=r"the fp32 logits differ by 1.10e-04 of the largest, 1.00e-04 is"):
        referee.judge(_off_by(tiny, 1.1e-4))
    with pytest.raises(DisagreementError, match=r"differ by nan"):
        referee.judge(_off_by(tiny, float("nan")))


def test_bfloat16_is_measured_against_pytorchs_own(tiny):
    referee = Referee(tiny, _job("bf16"))
    assert 1e-4 < referee.tolerance < 0.2
    referee.judge(_off_by(tiny, 0.9 * referee.tolerance))
    with pytest.raises(DisagreementError, match=r"the bf16 logits differ"):
        referee.judge(_off_by(tiny, 1.1 * referee.tolerance))


def test_float16_is_measured_against_pytorchs_own(tiny):
    referee = Referee(tiny, _job("fp16"))
    assert 1e-5 < referee.tolerance < Referee(tiny, _job("bf16")).tolerance / 2
    with pytest.raises(DisagreementError, match=r"the fp16 logits differ"):
        referee.judge(_off_by(tiny, 1.1 * referee.tolerance))


def test_a_gpu_may_not_round_the_factors_of_float32(tiny):
    referee = Referee(tiny, replace(_job(), device="cuda"))
    referee.judge(_off_by(tiny, 9e-5))
    with pytest.raises(DisagreementError, match=r"the fp32 logits differ by 1.10e-04 of the largest, 1.00e-04 is"):
        referee.judge(_off_by(tiny, 1.1e-4))


def test_int8_must_not_come_apart(tiny, tiny_images):
    referee = Referee(tiny, _job("int8"), tiny_images)
    assert torch.equal(referee.images, tiny_images)
    referee.judge(_off_by(tiny, 0.1))
    with pytest.raises(DisagreementError, match=r"of one of 4 images have a cosine of -1.000 .* 0.0% of .* calibrate"):
        referee.judge(lambda images: -_off_by(tiny, 0.0)(images))
    with pytest.raises(DisagreementError, match=r"the fp32 logits differ"):
        referee.judge(_off_by(tiny, 0.1), "fp32")


def _wrong_from(network, image: int, images):
    """A runner that turns the logits around from some image on, as they are asked."""
    wrong = images[image]

    def run(batch):
        with torch.inference_mode():
            signs = [-1.0 if torch.equal(own, wrong) else 1.0 for own in batch]
            return network(batch) * torch.tensor(signs)[:, None]

    return run


@pytest.mark.parametrize("wrong", range(5))
@pytest.mark.parametrize("batch_size", [1, 2, 4, 8])
def test_int8_is_judged_on_every_calibration_image(batch_size, wrong, tiny):
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    referee = Referee(tiny, _job("int8", batch_size), images)
    assert referee.count("int8") == 5
    with pytest.raises(DisagreementError, match=r"of one of 5 images .* 80.0% of the images get the same class"):
        referee.judge(_wrong_from(tiny, wrong, images))
    assert referee.judge(_off_by(tiny, 0.0)).top1 == 1


def test_the_plain_network_beside_int8_is_judged_on_one_batch(tiny, tiny_images):
    for batch_size in (1, 2, 6):
        referee = Referee(tiny, _job("int8", batch_size), tiny_images)
        asked = []

        def run(batch, asked=asked):
            asked.append(len(batch))
            return _off_by(tiny, 0.0)(batch)

        referee.judge(run, "fp32")
        assert asked == [batch_size] == [referee.count("fp32")]


def test_images_are_as_many_as_asked_and_all_different():
    images = probe_images(Job(batch_size=5, in_chans=4, image_size=(17, 23)))
    assert images.shape == (5, 4, 17, 23)
    assert images.is_contiguous()
    for first in range(5):
        for second in range(first):
            assert not torch.equal(images[first], images[second])
    assert torch.equal(images[:, 3], images[:, 0])


def test_calibration_images_repeat_until_there_are_enough(tiny_images):
    found = probe_images(_job(batch_size=6), tiny_images)
    assert torch.equal(found, torch.cat([tiny_images, tiny_images[:2]]))


def _features(tiny):
    return resnexus.create_model(tiny.architecture, features_only=True, out_indices=(2, 0)).eval()


def _map_off_by(network, position: int, relative: float):
    def run(images):
        with torch.inference_mode():
            maps = network(images)
            maps[position] = maps[position].clone()
            maps[position][0, 0, 0, 0] += relative * maps[position].abs().max()
        return maps

    return run


@pytest.mark.parametrize(("position", "index"), [(0, 2), (1, 0)])
def test_no_map_may_be_too_far_off(position, index, tiny):
    network = _features(tiny)
    referee = Referee(network, _job())
    found = referee.judge(_map_off_by(network, position, 9e-5))
    assert (found.subject, found.top1) == (f"map {index}", None)
    assert found.max_rel == pytest.approx(9e-5, rel=1e-2)
    with pytest.raises(
        DisagreementError, match=rf"map {index} in fp32 differs by 1.10e-04 of the largest, 1.00e-04 is"
    ):
        referee.judge(_map_off_by(network, position, 1.1e-4))
    with pytest.raises(DisagreementError, match=rf"map {index} in fp32 differs by nan"):
        referee.judge(_map_off_by(network, position, float("nan")))


def test_every_map_in_bfloat16_has_a_tolerance_of_its_own(tiny):
    network = _features(tiny)
    referee = Referee(network, _job("bf16"))
    last, stem = referee.tolerances
    assert stem < 0.9 * last
    between = (stem + last) / 2
    referee.judge(_map_off_by(network, 0, between))
    with pytest.raises(DisagreementError, match=r"map 0 in bf16 differs"):
        referee.judge(_map_off_by(network, 1, between))


def test_maps_in_int8_must_not_come_apart(tiny):
    network, images = _features(tiny), torch.randn(20, 3, 16, 16)
    referee = Referee(network, _job("int8"), images)
    assert referee.count("int8") == 16  # the maps of all would take gigabytes

    def negated(images):
        with torch.inference_mode():
            last, stem = network(images)
        return [last, -stem]

    with pytest.raises(
        DisagreementError, match=r"the int8 values of map 0 of one of 16 images have a cosine of -1.000"
    ):
        referee.judge(negated)


def test_on_a_gpu_half_precision_has_half_the_room_and_more_images(tiny):
    on_cpu = Referee(tiny, _job("fp16", batch_size=8))
    job = replace(_job("fp16", batch_size=8), device="cuda")
    on_gpu = Referee(tiny, job)
    assert on_gpu.tolerance == pytest.approx(on_cpu.tolerance / 2)
    with pytest.raises(DisagreementError, match=r"the fp16 logits differ"):
        on_gpu.judge(_off_by(tiny, 1.1 * on_gpu.tolerance))
    few = Referee(tiny, replace(job, batch_size=2))
    assert few.count("fp16") == 8
    assert few.count("fp32") == len(few.images) == 2  # of the plain network, which is judged, too
    asked = []
    few.judge(lambda images: asked.append(len(images)) or _off_by(tiny, 0.0)(images))
    assert asked == [2] * 4
