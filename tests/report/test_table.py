import csv
import io

import pytest

from resnexus.report.table import Column, Entry, Footnotes, Table, to_csv, to_markdown

TABLE = Table(
    name="costs",
    caption="Costs | of <b>",
    columns=(
        Column(title="Network", text=True),
        Column(title="published", unit="M", group="Parameters"),
        Column(title="counted", unit="M", group="Parameters"),
        Column(title="Training", unit="s"),
    ),
    rows=(
        (
            Entry(text="a|b_<i>"),
            Entry(text="23.64", struck=True, notes=(1,)),
            Entry(text="25.03"),
            Entry(text="9.5", detail="9–10"),
        ),
    ),
    notes=("Twice [sic]: a.",),
    remarks=("One run.",),
    data=({"network": "a|b,c", "mparams": 25.028904, "missing": None}, {"network": "=b", "extra": True}),
)


def test_markdown_marks_and_escapes():
    lines = to_markdown(TABLE).splitlines()
    assert lines[0] == "Costs \\| of &lt;b&gt;"
    assert lines[2] == "| Network | Parameters, published (M) | Parameters, counted (M) | Training (s) |"
    assert lines[3] == "| :-- | --: | --: | --: |"
    assert lines[4] == "| a\\|b\\_&lt;i&gt; | ~~23.64~~ [1] | 25.03 | 9.5 (9–10) |"
    assert lines[6:] == ["1. Twice \\[sic\\]: a.", "", "One run."]


def test_csv_keeps_all_digits():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == {"network": "a|b,c", "mparams": "25.028904", "missing": "", "extra": ""}
    assert rows[1]["extra"] == "True"


@pytest.mark.parametrize(("begin", "written"), [*((sign, f"'{sign}") for sign in "=+-@"), ("\t", "\\t"), ("\r", "\\r")])
def test_csv_holds_no_formula(begin, written):
    table = Table(name="t", caption="", columns=(), rows=(), data=({"name": f"{begin}1+1", "value": -1.5},))
    (row,) = csv.DictReader(io.StringIO(to_csv(table), newline=""))
    assert row == {"name": f"{written}1+1", "value": "-1.5"}


def test_footnotes_are_numbered_as_they_come_and_name_each_network_once():
    notes = Footnotes()
    assert [notes.number("late", "b"), notes.number("wrong", "a"), notes.number("late", "c")] == [1, 2, 1]
    assert notes.number("late", "b") == 1
    assert notes.texts == ("late: b, c.", "wrong: a.")


def test_heading_joins_neighbours_of_one_group():
    first, second = TABLE.heading
    assert [(cell.title, cell.columns, cell.rows) for cell in first] == [
        ("Network", 1, 2),
        ("Parameters", 2, 1),
        ("Training", 1, 2),
    ]
    assert [cell.title for cell in second] == ["published", "counted"]


def test_heading_without_groups_is_one_row():
    plain = Table(name="plain", caption="", columns=(Column(title="a"), Column(title="b")), rows=())
    first, second = plain.heading
    assert [cell.rows for cell in first] == [1, 1]
    assert second == []
