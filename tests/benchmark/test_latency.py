import pytest
import torch

from resnexus import Architecture, ResnexusError, create_model
from resnexus.benchmark.latency import steps, time_networks

ROW = Architecture(name="tiny", block="basic", depths=(1,), width=8, out_width=8, stem="small", stem_width=8)


def test_every_cell_is_timed_and_checked():
    networks = {name: create_model(ROW, in_chans=1, num_classes=4).eval() for name in ("a", "b")}
    before = {name: value.clone() for name, value in networks["a"].state_dict().items()}
    ticks = []
    cells = time_networks(
        networks,
        image_size=8,
        in_chans=1,
        precisions=("fp32", "bf16"),
        batch_sizes=(1, 3),
        rounds=2,
        repeats=3,
        on_step=lambda: ticks.append(1),
    )
    keys = [(cell.precision, cell.batch_size, cell.model) for cell in cells]
    assert keys == [(p, size, model) for p in ("fp32", "bf16") for size in (1, 3) for model in ("a", "b")]
    assert len(ticks) == steps(("fp32", "bf16"), (1, 3), 2)
    for cell in cells:
        assert 0 < cell.p10_ms <= cell.median_ms <= cell.p90_ms
        assert cell.repeats == 6
        assert cell.throughput_img_s == pytest.approx(1e3 * cell.batch_size / cell.median_ms)
        assert cell.agreement is None if cell.precision == "fp32" else 0 < cell.agreement < 0.05
    assert all(torch.equal(before[name], value) for name, value in networks["a"].state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ("fp8",)}, "unknown precision 'fp8'"),
        ({"batch_sizes": (0,)}, "batch size 0: expected a whole number of at least 1"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ResnexusError, match=message):
        time_networks({"a": create_model(ROW).eval()}, image_size=8, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu():
    with pytest.raises(ResnexusError, match="device 'cuda': PyTorch sees no GPU here; use device 'cpu'"):
        time_networks({"a": create_model(ROW).eval()}, image_size=8, device="cuda")
