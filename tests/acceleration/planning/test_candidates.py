from __future__ import annotations

from resnexus.acceleration.backends.contract import Candidate, Job
from resnexus.acceleration.backends.registry import BACKENDS, backend
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE, combined, first_round, second_round
from resnexus.architectures.catalog import CATALOG
from resnexus.rewrites.table import REWRITES

JOB = Job(batch_size=8, threads=2)


def _everything(row, job=JOB):
    first = first_round(row, [backend(name) for name in BACKENDS])
    return first + [varied for best in first for varied in second_round(best, row, job)]


def test_only_rewrites_that_apply_are_tried():
    for row in CATALOG.values():
        for candidate in _everything(row):
            assert all(REWRITES[name].applies(row) for name in candidate.rewrites), (row.name, candidate)


def test_nothing_is_tried_twice_and_the_search_is_short():
    for row in CATALOG.values():
        first = first_round(row, [backend(name) for name in BACKENDS])
        assert len(first) == len(set(first)) == len(BACKENDS) + 1  # that for GPUs with and without our kernels
        for best in first:
            varied = second_round(best, row, JOB)
            assert len(varied) == len({best, *varied}) - 1 <= 8


def test_nothing_is_calibrated_more_than_once_for_a_plan():
    job = Job(batch_size=8, threads=2, precision="int8")
    for row in CATALOG.values():
        (best,) = first_round(row, [backend("openvino")])
        varied = second_round(best, row, job)
        assert {candidate.rewrites for candidate in varied} == {best.rewrites}
        assert {"rest": "bf16"} in [candidate.options for candidate in varied]


def test_pytorch_compiles_where_there_is_nothing_else():
    row = CATALOG["ResNeXt50_32x4d"]
    alone = [candidate.options["mode"] for candidate in first_round(row, [backend("torch")])]
    assert alone == ["eager", "compiled"]
    beside = [candidate.options for candidate in first_round(row, [backend("torch"), backend("openvino")])]
    assert beside == [{"mode": "eager"}, {}]


def test_steps_are_measured_for_the_best_of_the_engines_for_gpus():
    row, job = CATALOG["SE_ResNeXt50_32x4d"], Job(batch_size=8, device="cuda", precision="fp16")
    library, ours = first_round(row, [backend("cuda")])
    assert (library.options, ours.options) == ({"kernels": "library"}, {"kernels": "ours"})
    ungated, measured = second_round(ours, row, job)
    assert (ungated.rewrites, ungated.options) == (("fold_batch_norm",), ours.options)
    assert (measured.rewrites, measured.options) == (ours.rewrites, {"kernels": "measured"})
    assert combined(ours, [measured, ungated]) == Candidate("cuda", ungated.rewrites, measured.options)
    row = CATALOG["Res2Net50_26w_4s"]
    _, ours = first_round(row, [backend("cuda")])
    eight, sixteen, _ = second_round(ours, row, job)
    assert eight.rewrites == (*ours.rewrites, "res2_aligned_widths_8")
    assert sixteen.rewrites == (*ours.rewrites, "res2_aligned_widths_16")


def test_batches_are_cut_only_into_equal_parts():
    best = Candidate("openvino", ("fold_batch_norm",))
    row = CATALOG["ResNeXt50_32x4d"]

    def parts(batch_size: int, threads: int) -> list[str]:
        varied = second_round(best, row, Job(batch_size=batch_size, threads=threads))
        return [candidate.options["parts"] for candidate in varied if "parts" in candidate.options]

    assert parts(8, 2) == ["2", "8"]
    assert parts(1, 2) == []
    assert parts(3, 2) == ["3"]
    assert parts(2, 2) == ["2"]


def test_the_plain_network_is_not_varied():
    assert second_round(PLAIN_CANDIDATE, CATALOG["SE_ResNet18_vd"], JOB) == []


def test_changes_that_helped_are_combined():
    best = Candidate("openvino", ("fold_batch_norm", "gate_before_projection"), {"rest": "f32"})
    parts = Candidate("openvino", best.rewrites, {"rest": "f32", "parts": "2"})
    rest = Candidate("openvino", best.rewrites, {"rest": "bf16"})
    more = Candidate("openvino", (*best.rewrites, "pool_into_projection"), best.options)
    less = Candidate("openvino", ("fold_batch_norm",), best.options)
    assert combined(best, [parts, more]) == Candidate("openvino", more.rewrites, parts.options)
    assert combined(best, [rest, parts]).options == {"rest": "bf16", "parts": "2"}
    for helped in ([less, more], [more, less]):
        assert combined(best, helped).rewrites == ("fold_batch_norm", "pool_into_projection")
    eight = Candidate("openvino", best.rewrites, {"rest": "f32", "parts": "8"})
    assert combined(best, [parts, eight]).options["parts"] == "2"
    assert combined(best, [eight, parts]).options["parts"] == "8"
