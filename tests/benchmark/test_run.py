from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from resnexus import Architecture, ResnexusError, create_model
from resnexus.acceleration.planning.plan import Plan
from resnexus.benchmark import engines, run
from resnexus.benchmark.bench import Bench, BenchSettings, groups, steps
from resnexus.benchmark.peaks import Peak
from resnexus.benchmark.ratios import ratio_of
from resnexus.records import read_json, write_json
from rounding import Rounding

NAME = "ResNet50_vd"
ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16, shortcut="pool"
)
SETTINGS = BenchSettings(
    precisions=("fp32", "bf16"),
    batch_sizes=(1, 2),
    engines=("eager", "channels_last", "timm"),
    image_size=16,
    rounds=3,
    threads=1,
    settle_s=0.0,
)


def tiny(**options):
    torch.manual_seed(1)
    return create_model(ROW, num_classes=7, **options).eval()


class Told:
    """Keeps what a job reports."""

    def __init__(self):
        self.stages, self.lines, self.done = [], [], 0

    @contextmanager
    def stage(self, description, total):
        self.stages.append((description, total))
        yield self.advance

    def advance(self, steps=1):
        self.done += steps

    def say(self, message):
        self.lines.append(message)


@pytest.fixture
def quick_peaks(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path_factory.mktemp("home")))
    measured = []

    def peak(device, precision, threads):
        assert threads == SETTINGS.threads
        measured.append(precision)
        return Peak(device=device, precision=precision, tflops=0.1, gbytes_s=10.0, call_us=2.0)

    monkeypatch.setattr(run, "peak", peak)
    return measured


def test_everything_is_opened_checked_and_timed_in_turns(quick_peaks):
    told = Told()
    *_, record = run.run({"mine": tiny()}, SETTINGS, progress=told, title="bench")
    assert quick_peaks == ["fp32", "bf16"]
    assert [line for line in told.lines if not line.startswith(" ")] == [
        "measuring what the machine can do",
        "mine on cpu, batch 1",
        "mine on cpu, batch 2",
    ]
    total = sum(steps(group, SETTINGS) for group in groups(["mine"], SETTINGS))
    assert told.stages == [("bench", total)]
    assert told.done == total
    keys = [(cell.batch_size, cell.precision, cell.engine) for cell in record.cells]
    assert keys == [(s, p, e) for s in (1, 2) for p in ("fp32", "bf16") for e in ("eager", "channels_last")]
    for cell in record.cells:
        assert cell.model == "mine"
        assert len(cell.rounds_ms) == cell.repeats == SETTINGS.rounds
        assert min(cell.rounds_ms) <= cell.p10_ms <= cell.median_ms <= cell.p90_ms <= max(cell.rounds_ms)
        assert cell.agreement < (1e-5 if cell.precision == "fp32" else 0.1)
        assert cell.cosine > 0.99
        assert cell.plan is None
    assert ratio_of(record.cells[0], record.cells[0]).median == 1
    reasons = {(entry.engine, entry.reason) for entry in record.left_out}
    assert reasons == {("timm", "has no network that computes the same")}


def test_networks_of_any_channels_take_turns_and_are_left_as_they_are(quick_peaks, monkeypatch):
    networks = {"grey": tiny(in_chans=1), "five / bands": tiny(in_chans=5)}
    before = {name: {key: value.clone() for key, value in net.state_dict().items()} for name, net in networks.items()}
    seen = []

    def spy(calls, **options):
        seen.append((len(calls), options["rounds"], options["settle"]))
        return interleaved(calls, **options | {"settle": 0.0})

    interleaved = run.interleaved
    monkeypatch.setattr(run, "interleaved", spy)
    settings = replace(SETTINGS, engines=("eager",), together=2, settle_s=0.125)
    *_, record = run.run(networks, settings, with_peaks=False)
    assert seen == [(4, 3, 0.125), (4, 3, 0.125)]  # two networks in two precisions, for each batch size
    assert quick_peaks == []
    assert record.peaks == ()
    assert [(cell.batch_size, cell.model, cell.precision) for cell in record.cells] == [
        (size, name, precision) for size in (1, 2) for name in networks for precision in ("fp32", "bf16")
    ]
    for name, network in networks.items():
        assert not network.training
        assert all(torch.equal(before[name][key], value) for key, value in network.state_dict().items())


def test_a_name_gets_the_weights_of_the_golden_logits(quick_peaks):
    settings = replace(SETTINGS, batch_sizes=(1,), precisions=("fp32",), image_size=32, rounds=1)
    *_, record = run.run(["se_resnet18_VD"], settings, with_peaks=False)
    assert [(cell.model, cell.engine) for cell in record.cells] == [
        ("SE_ResNet18_vd", "eager"),
        ("SE_ResNet18_vd", "channels_last"),
    ]
    assert record.cells[0].agreement == 0.0
    assert 0 < record.cells[1].agreement < 1e-5


@pytest.mark.thorough  # plans with OpenVINO, as the one of maps does
def test_a_cell_of_ours_says_what_was_chosen(quick_peaks, tmp_path):
    pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")
    settings = replace(SETTINGS, batch_sizes=(2,), precisions=("fp32",), engines=("resnexus",))
    settings = replace(settings, plan_backends=("openvino",), plan_seconds=0.05)
    *_, record = run.run({NAME: tiny()}, settings, cache_dir=tmp_path)
    (cell,) = record.cells
    (kept,) = (tmp_path / "plans").iterdir()
    assert cell.agreement < 1e-5
    assert cell.plan == str(read_json(Plan, kept).candidate)
    write_json(record, tmp_path / "bench.json")
    assert read_json(Bench, tmp_path / "bench.json") == record


def test_back_ends_that_do_not_run_a_precision_are_named(quick_peaks, tmp_path):
    settings = replace(SETTINGS, batch_sizes=(1,), engines=("resnexus",), plan_backends=("onnxruntime",))
    told, settings = Told(), replace(settings, precisions=("bf16",))
    *_, record = run.run({NAME: tiny()}, settings, cache_dir=tmp_path, progress=told)
    assert told.done == told.stages[0][1]
    assert [entry.reason for entry in record.left_out] == ["BackendError: none of onnxruntime runs bf16 on cpu"]
    assert [path.name for path in tmp_path.iterdir()] == []  # what engines build is removed


def test_an_engine_that_computes_something_else_is_left_out_and_not_timed(quick_peaks, monkeypatch, caplog):
    def wrong(workload, job):
        return lambda images: torch.ones(len(images), 7)

    row = replace(engines.ENGINES["channels_last"], open=wrong)
    monkeypatch.setattr(run, "engine", lambda name: row if name == "channels_last" else engines.ENGINES[name])
    settings = replace(SETTINGS, batch_sizes=(1,), precisions=("fp32",), engines=("eager", "channels_last"))
    *_, record = run.run({NAME: tiny()}, settings)
    assert [cell.engine for cell in record.cells] == ["eager"]
    assert "DisagreementError: the fp32 logits differ by" in record.left_out[0].reason
    assert "channels_last is left out for ResNet50_vd in fp32" in caplog.text


def test_it_goes_on_where_it_stopped(quick_peaks, tmp_path):
    settings = replace(SETTINGS, precisions=("fp32",), engines=("eager",))
    growing = run.run({NAME: tiny()}, settings)
    next(growing)
    write_json(next(growing), tmp_path / "bench.json")
    growing.close()
    half = read_json(Bench, tmp_path / "bench.json")
    assert [cell.batch_size for cell in half.cells] == [1]
    told = Told()
    *_, record = run.run({NAME: tiny()}, settings, before=half, progress=told)
    assert told.lines == [f"{NAME} on cpu, batch 2", "  opening eager in fp32"]
    assert record.cells[0] == half.cells[0]
    told = Told()
    assert list(run.run({NAME: tiny()}, settings, before=record, progress=told)) == [record]
    assert told.stages == []
    with pytest.raises(ResnexusError, match="that is there was measured with rounds 3 there, 4 here: give another"):
        next(run.run({NAME: tiny()}, replace(settings, rounds=4), before=half))


def test_an_unknown_network_is_said_before_anything_is_measured(quick_peaks):
    with pytest.raises(ResnexusError, match="unknown"):
        next(run.run(["ResNet51"], SETTINGS))
    assert quick_peaks == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features_only": True, "out_indices": (1, 0)}, r"mine returns maps 1, 0 at output stride 1, the settings"),
        ({}, r"mine returns logits at output stride 1, the settings have out_indices=\(0, 1\)"),
    ],
)
def test_a_network_that_returns_something_else(options, message, quick_peaks):
    network = create_model(ROW, **options).eval()
    with pytest.raises(ResnexusError, match=message):
        next(run.run({"mine": network}, replace(SETTINGS, out_indices=(0, 1))))


def test_maps_of_ones_own_are_timed(quick_peaks):
    settings = replace(SETTINGS, out_indices=(1, 0), precisions=("fp32",), batch_sizes=(2,), engines=("eager", "timm"))
    network = create_model(ROW, features_only=True, out_indices=(1, 0)).eval()
    *_, record = run.run({"mine": network}, settings)
    (cell,) = record.cells
    assert (cell.out_indices, cell.output_stride, cell.agreement) == ((1, 0), None, 0)
    assert [(entry.engine, entry.reason) for entry in record.left_out] == [
        ("timm", "returns no feature maps on cpu here")
    ]


def test_maps_of_our_own_engine_say_what_was_chosen(quick_peaks, monkeypatch, tmp_path):
    monkeypatch.setattr("resnexus.acceleration.planning.search.first_round", lambda row, backends: [])
    settings = replace(SETTINGS, out_indices=(1, 0), precisions=("fp32",), batch_sizes=(1,), engines=("resnexus",))
    settings = replace(settings, plan_backends=("torch",), plan_seconds=0.0, rounds=1)
    network = create_model(ROW, features_only=True, out_indices=(1, 0)).eval()
    *_, record = run.run({"mine": network}, settings, cache_dir=tmp_path)
    (cell,) = record.cells
    assert cell.plan == "torch(mode=plain) on the network as it is"


def test_float32_keeps_its_bits_while_engines_open_and_are_timed(quick_peaks, monkeypatch):
    rounding = Rounding()
    row = replace(engines.ENGINES["eager"], open=rounding.opened)
    monkeypatch.setattr(run, "exact_on", rounding.exact_on)
    monkeypatch.setattr(run, "engine", lambda name: row)
    list(run.run({"mine": tiny()}, replace(SETTINGS, engines=("eager",), batch_sizes=(1,)), with_peaks=False))
    assert rounding.asked == ["cpu"]  # the device of the group
    assert rounding.seen == {("open", True), ("run", True)}
