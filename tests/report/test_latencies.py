from dataclasses import replace

import pytest

from resnexus.errors import ResnexusError
from resnexus.report.latencies import BUSY, Setting, agreement_remarks, latencies, latency_table


def test_every_cell_is_found_again(comparison):
    found = latencies(comparison.latency)
    for cell in comparison.latency:
        setting = Setting(device=cell.device, engine=cell.engine, precision=cell.precision)
        assert found.at(setting, cell.batch_size, cell.model) is cell
    assert found.at(found.settings[0], 99, "ResNet_small") is None
    assert found.batch_sizes(found.settings[0]) == [1, 4, 8]


def test_two_latencies_for_the_same_thing_are_an_error(comparison):
    cell = comparison.latency[0]
    with pytest.raises(ResnexusError, match=r"ResNet_small has two latencies for cpu, eager, fp32, batch size 1"):
        latencies([cell, replace(cell, repeats=16)])


def test_table_prints_the_records(comparison):
    table = latency_table("latency", "", ["Res2Net_small_7w_4s"], latencies(comparison.latency))
    assert table.rows[0][0].text == "Res2Net_small_7w_4s"
    assert len(table.rows) == 5  # the networks that are not in the list follow
    cell = next(c for c in comparison.latency if (c.model, c.batch_size) == ("Res2Net_small_7w_4s", 8))
    assert table.rows[0][3].text == f"{cell.median_ms:.3f}"
    assert table.rows[0][3].detail == f"{cell.p10_ms:.3f}–{cell.p90_ms:.3f}"
    assert [column.group for column in table.columns] == ["", *["fp32"] * 3, *["bf16"] * 3]
    assert table.data[2]["throughput_img_s"] == pytest.approx(8e3 / cell.median_ms)


def test_a_busy_machine_is_noted_for_each_network(comparison):
    cells = comparison.latency
    busy = tuple(replace(cell, p90_ms=2 * cell.p10_ms) for cell in cells[:2])
    table = latency_table("latency", "", [], latencies((*busy, *cells[2:])))
    assert [entry.notes for entry in table.rows[0]][:4] == [(), (1,), (1,), ()]
    assert table.notes == (f"{BUSY}: ResNet_small.",)
    assert latency_table("latency", "", [], latencies(cells)).notes == ()


def test_file_name_has_no_odd_characters():
    assert Setting(device="cuda", engine="torch.compile / x", precision="fp16").file_name == "cuda_torch_compile_x_fp16"


def test_what_differs_by_nothing_is_not_remarked(comparison):
    plain = [replace(cell, agreement=0.0) for cell in comparison.latency if cell.precision == "fp32"]
    assert agreement_remarks(latencies(plain)) == []


def test_agreement_is_the_largest(comparison):
    worst = max(cell.agreement for cell in comparison.latency if cell.agreement is not None)
    (remark,) = agreement_remarks(latencies(comparison.latency))
    assert remark.startswith("cpu, eager, bf16:")
    assert f"{100 * worst:.2g} %" in remark
