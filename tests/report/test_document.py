import csv
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from resnexus.errors import ResnexusError
from resnexus.records import read_json
from resnexus.report import document, write_report
from resnexus.report.document import build_tables, is_report, render, write_bytes
from resnexus.report.record import Comparison

VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}


class Reader(HTMLParser):
    """Checks that every element is closed in turn, and collects ids, links and table cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.loads, self.tables = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.note(tag, dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.note(tag, dict(attributes))

    def note(self, tag, attributes):
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.loads += [(tag, name) for name in ("src", "srcset", "data", "action", "xlink:href") if name in attributes]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if ("td" in self.open or "th" in self.open) and not {"sup", "caption"} & set(self.open[-2:]):
            self.tables[-1][-1][-1] += text


@pytest.fixture(scope="module")
def text(report):
    return (report / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(text):
    return Reader(text)


def page_of(comparison):
    """Return the page without its figures."""
    return render(comparison, build_tables(comparison), [], [])


def table(reader, first):
    """Return the body of the table whose first row heading is `first` as row heading -> cells."""
    found = [rows for rows in reader.tables if any(row and row[0] == first for row in rows)]
    return [{row[0]: row[1:] for row in rows} for rows in found]


def test_the_report_is_complete(report):
    assert sorted(path.name for path in report.iterdir()) == ["figures", "index.html", "results.json", "tables"]
    tables = {path.name for path in (report / "tables").iterdir()}
    names = ("data_accuracy", "data_runs", "data_latency_cpu_eager_fp32", "data_latency_cpu_eager_bf16")
    names += ("series_accuracy", "series_latency", "series_same_cost")
    assert tables == {f"{name}.{suffix}" for name in names for suffix in ("md", "csv")}
    figures = {path.name for path in (report / "figures").iterdir()}
    assert {f"series_accuracy_{cost}.png" for cost in ("flops", "parameters", "t4_fp32_bs4", "t4_fp16_bs4")} < figures
    assert {path.stem for path in (report / "figures").glob("*.svg")} == {
        path.stem for path in (report / "figures").glob("*.png")
    }


def test_the_page_is_well_formed_and_its_links_lead_somewhere(reader):
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.links
    assert all(link.startswith("#") and link[1:] in reader.ids for link in reader.links)


def test_the_page_loads_nothing(text, reader):
    assert reader.loads == []
    assert "http" not in text.replace("http-equiv", "")
    assert not re.search(r"@import|url\(|<link|<iframe|fetch\(", text)
    assert "default-src 'none'" in text


def test_the_page_says_what_it_is(text):
    assert text.startswith('<!DOCTYPE html>\n<html lang="en-GB">')
    assert "<title>ResNet, ResNeXt, SENet and Res2Net on digits</title>" in text
    assert "Quick mode: 5 of 28 networks were timed here" in text
    assert "Some Processor 9000" in text


def test_the_page_rebuilds_from_results_alone(report, tmp_path):
    rebuilt = write_report(read_json(Comparison, report / "results.json"), tmp_path)
    assert rebuilt.read_bytes() == (report / "index.html").read_bytes()
    for path in (report / "tables").iterdir():
        assert (tmp_path / "tables" / path.name).read_bytes() == path.read_bytes()


def test_numbers_on_the_page_are_the_records(comparison, reader):
    published, latency = table(reader, "SENet154_vd")
    for network in comparison.series:
        cells = published[network.name]
        assert cells[1:3] == [f"{100 * network.top1:.2f}", f"{100 * network.top5:.2f}"]
        assert cells[6] == f"{network.gflops:.2f}"
        wrong = "wrong: " if any(cell.field == "gflops" for cell in network.errata) else ""
        assert cells[5] == f"{wrong}{network.published_gflops:.2f}"
    for cell in comparison.series_latency:
        shown = latency[cell.model][7 + (1, 4, 8).index(cell.batch_size)]
        assert shown == f"{cell.median_ms:,.1f}{cell.p10_ms:,.1f}–{cell.p90_ms:,.1f}"
    accuracy, measured, runs = table(reader, "Res2Net_small_7w_4s")
    assert accuracy["Res2Net_small_7w_4s"][3].startswith("96.94 ± 0.56")
    assert len(measured["Res2Net_small_7w_4s"]) == 6
    assert runs["ResNet_small"][1] == f"{100 * comparison.networks[0].runs[-1].top1:.2f}"


def test_every_column_of_numbers_has_a_unit(text):
    headings = re.findall(r'<th scope="col"([^>]*)>(.*?)</th>', text)
    assert len(headings) > 40
    for attributes, heading in headings:
        assert 'class="text"' in attributes or 'class="group"' in attributes or "unit" in heading


def test_wrong_cells_lead_to_their_reason(text):
    cell = re.search(r'<s><span class="hidden">wrong: </span>23\.64</s><sup><a href="#([^"]+)">', text)
    note = re.search(rf'<li id="{cell[1]}">(.*?)</li>', text)
    assert "by the 32 groups twice" in note[1]
    assert "ResNeXt50_32x4d" in note[1]


def test_csv_holds_the_records_unrounded(comparison, report):
    with (report / "tables" / "series_accuracy.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    for network in comparison.series:
        assert float(rows[network.name]["gflops"]) == network.gflops
        assert float(rows[network.name]["top1"]) == network.top1


def test_names_are_escaped(comparison, tmp_path):
    evil = '<script>alert("x")</script>&\x01'
    first = comparison.networks[0]
    runs = tuple(replace(run, skipped=(f"{evil}.jpg: cannot be read",)) for run in first.runs)
    networks = (replace(first, name=evil, line=evil, runs=runs), *comparison.networks[1:])
    latency = tuple(replace(cell, model=evil) if cell.model == first.name else cell for cell in comparison.latency)
    changed = replace(
        comparison, data=evil, networks=networks, latency=latency, series=(), series_latency=(), settings={evil: evil}
    )
    text = write_report(changed, tmp_path).read_text(encoding="utf-8")
    Reader(text)
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert" in text
    assert "2. The series" not in text
    assert "<script>" not in (tmp_path / "tables" / "data_accuracy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["networks", "latency", "series", "series_latency"])
def test_missing_parts(comparison, missing):
    changed = replace(comparison, **{missing: ()})
    text = page_of(changed)
    Reader(text)
    expected = {
        "networks": "No network was trained.",
        "latency": "No latency was measured.",
        "series": "How it was measured",
        "series_latency": "The series was not timed on this machine.",
    }
    assert expected[missing] in text


def test_nothing_at_all_is_still_a_page(comparison, tmp_path):
    empty = replace(comparison, networks=(), latency=(), series=(), series_latency=(), settings={})
    Reader(write_report(empty, tmp_path).read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "results.json"]


def test_skipped_images_are_shown_up_to_twenty(comparison):
    first = comparison.networks[0]
    runs = tuple(replace(run, skipped=tuple(f"{i}.jpg: truncated" for i in range(25))) for run in first.runs)
    text = page_of(replace(comparison, networks=(replace(first, runs=runs),)))
    assert "25 validation images could not be read" in text
    assert "19.jpg: truncated" in text
    assert "20.jpg: truncated" not in text
    assert "The first 20 are shown" in text


def test_one_precision_and_one_seed(comparison):
    networks = tuple(replace(network, runs=network.runs[:1]) for network in comparison.networks)
    cells = tuple(cell for cell in comparison.latency if cell.precision == "fp32")
    text = page_of(replace(comparison, networks=networks, latency=cells))
    Reader(text)
    assert "Too few seeds, 1 instead of at least 3: the spread is unknown" in text
    assert "bf16" not in text


def test_a_folder_that_cannot_be_written_is_named(comparison, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResnexusError, match=r"cannot write .*file.*Choose another folder"):
        write_report(comparison, tmp_path / "file")
    with pytest.raises(ResnexusError, match=r"cannot write .*x\.png.*Choose another folder"):
        write_bytes(b"", tmp_path / "file" / "x.png")


def test_bytes_are_whole_or_absent(tmp_path):
    write_bytes(b"first", tmp_path / "a" / "x.png")
    write_bytes(b"second", tmp_path / "a" / "x.png")
    assert (tmp_path / "a" / "x.png").read_bytes() == b"second"
    with pytest.raises(TypeError):
        write_bytes("no bytes", tmp_path / "a" / "x.png")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.png"]
    assert (tmp_path / "a" / "x.png").read_bytes() == b"second"


def test_a_page_of_ours_is_known(report, tmp_path):
    assert is_report(report / "index.html")
    (tmp_path / "index.html").write_text("<title>resnexus</title>")
    assert not is_report(tmp_path / "index.html")
    assert not is_report(tmp_path / "none.html")


def test_tables_are_built_once(comparison, tmp_path, monkeypatch):
    built = Counter()
    for name in ("accuracy_table", "run_table", "latency_tables", "latency_files", "same_cost_table"):
        builder = getattr(document, name)
        counted = lambda found, name=name, builder=builder: (built.update([name]), builder(found))[1]  # noqa: E731
        monkeypatch.setattr(document, name, counted)
    monkeypatch.setattr(document, "data_figures", lambda _: [])
    monkeypatch.setattr(document, "series_figures", lambda _: [])
    write_report(comparison, tmp_path)
    assert set(built.values()) == {1}
    assert len(built) == 5


def test_text_that_is_not_unicode_ends_no_report(comparison, tmp_path):
    odd = "d\udcfft"
    first = replace(comparison.networks[0], name=odd, line=odd)
    latency = tuple(replace(cell, model=odd) if cell.model == "ResNet_small" else cell for cell in comparison.latency)
    changed = replace(
        comparison, data=odd, networks=(first,), latency=latency[:1], series=(), series_latency=(), ignored=(odd,)
    )
    text = write_report(changed, tmp_path).read_text(encoding="utf-8")
    assert "on d\\udcfft</title>" in text
    assert "d\\udcfft" in (tmp_path / "tables" / "data_accuracy.csv").read_text(encoding="utf-8")
    assert read_json(Comparison, tmp_path / "results.json") == changed


def test_a_busy_machine_is_marked_and_said(comparison):
    cell = comparison.latency[0]
    busy = replace(cell, median_ms=1520.0, p10_ms=22.0, p90_ms=1544.0)
    text = page_of(replace(comparison, latency=(busy, *comparison.latency[1:]), series_latency=()))
    assert "The machine was busy while 1 of 30 latencies were measured" in text
    assert re.search(r'1,520\.\d+<sup><a href="#data_latency-1">1</a></sup>', text)
    assert "The machine was busy: the 90th percentile is 2 or more times the 10th" in text
    assert "The machine was busy" not in page_of(comparison)


def test_what_was_ignored_or_unreadable_is_listed(comparison):
    first = comparison.networks[0]
    runs = tuple(replace(run, skipped_in_training=("t.jpg: is empty",)) for run in first.runs)
    changed = replace(comparison, networks=(replace(first, runs=runs),), ignored=tuple(f"{i}.heic" for i in range(21)))
    text = page_of(changed)
    assert "1 training image could not be read. The networks were trained without it." in text
    assert "21 files among the images were ignored" in text
    assert "19.heic" in text
    assert "20.heic" not in text
