from resnexus.report.series_tables import is_extra, series_accuracy_table, series_latency_table


def test_published_stands_beside_counted(comparison):
    table = series_accuracy_table(comparison)
    assert len(table.rows) == len(comparison.series) == 31
    for row, data, network in zip(table.rows, table.data, comparison.series, strict=True):
        cells = [entry.text for entry in row]
        assert cells[0] == network.name
        assert cells[2:4] == [f"{100 * network.top1:.2f}", f"{100 * network.top5:.2f}"]
        assert cells[4] == ("–" if network.reference_top1 is None else f"{100 * network.reference_top1:.2f}")
        assert cells[6:8] == [f"{network.published_gflops:.2f}", f"{network.gflops:.2f}"]
        assert cells[8:10] == [f"{network.published_mparams:.2f}", f"{network.mparams:.2f}"]
        assert (data["gflops"], data["published_mparams"]) == (network.gflops, network.published_mparams)


def test_exactly_the_wrong_cells_are_marked_with_their_reason(comparison):
    table = series_accuracy_table(comparison)
    for row, network in zip(table.rows, comparison.series, strict=True):
        reasons = {cell.field: cell.reason for cell in network.errata}
        for column, field in ((6, "gflops"), (8, "mparams")):
            assert row[column].struck == (field in reasons)
            for number in row[column].notes:
                note = table.notes[number - 1]
                assert note.startswith(reasons[field])
                assert network.name in note
        assert not any(entry.struck for index, entry in enumerate(row) if index not in (6, 8))
    row = next(row for row in table.rows if row[0].text == "ResNeXt50_32x4d")
    assert [(row[column].text, row[column].struck) for column in (6, 7, 8, 9)] == [
        ("8.02", True),
        ("8.46", False),
        ("23.64", True),
        ("25.03", False),
    ]


def test_latency_of_published_and_measured(comparison):
    table = series_latency_table(comparison)
    measured = {(cell.model, cell.batch_size): cell for cell in comparison.series_latency}
    networks = [network for network in comparison.series if not is_extra(network)]
    assert [row[0].text for row in table.rows] == [network.name for network in networks]
    keys = ("fp16_bs1", "fp16_bs4", "fp16_bs8", "fp32_bs1", "fp32_bs4", "fp32_bs8")
    for row, data, network in zip(table.rows, table.data, networks, strict=True):
        cells = [entry.text for entry in row]
        assert cells[1] == f"{network.v100_ms:.2f}"
        assert cells[2:8] == [f"{network.t4_ms[key]:.2f}" for key in keys]
        for text, batch in zip(cells[8:], (1, 4, 8), strict=True):
            cell = measured.get((network.name, batch))
            assert text == (f"{cell.median_ms:,.1f}" if cell else "–")
            assert data[f"cpu_eager_fp32_bs{batch}_median_ms"] == (cell.median_ms if cell else None)
    struck = {(row[0].text, index) for row in table.rows for index, entry in enumerate(row) if entry.struck}
    assert struck == {("ResNeXt50_32x4d", 1), ("SE_ResNeXt50_vd_32x4d", 4), ("SE_ResNeXt50_vd_32x4d", 7)}
    assert len(table.notes) == 2
