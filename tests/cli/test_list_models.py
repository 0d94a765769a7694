import io

import pytest
from rich.console import Console

from resnexus import list_models
from resnexus.cli import main
from resnexus.cli.list_models import COLUMNS, fitting, matches

ROWS = [
    {"name": name, "family": "ResNeXt", "top1": 0.8123, "top5": 0.9456, "gflops": 123.45, "mparams": 122.03}
    | {"t4_fp16_bs4": 45.67, "t4_fp32_bs4": None}
    for name in ("SE_ResNeXt101_vd_32x4d", "SENet154_vd")
]
FIGURES = {"top1": "81.2", "top5": "94.6", "gflops": "123.45", "mparams": "122.03", "t4_fp16_bs4": "45.67"}


@pytest.mark.parametrize("width", [24, *range(30, 100), 120])
def test_a_narrow_terminal_has_fewer_columns_and_whole_figures(width):
    table, left_out = fitting(ROWS, width)
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    text = console.file.getvalue()
    assert "SE_ResNeXt101_vd_32x4d" in text
    assert "…" not in text
    shown = [column for column, title in COLUMNS.items() if title not in left_out]
    assert [figure in text for figure in FIGURES.values()] == [column in shown for column in FIGURES]
    assert max(map(len, text.splitlines())) <= width
    assert len(left_out) == (0 if width >= 77 else 1 if width >= 69 else len(left_out))
    assert (width < 60) <= bool(left_out)


def test_what_is_sorted_by_is_kept():
    assert fitting(ROWS, 30, keep="t4_fp16_bs4")[1] == [
        title for column, title in COLUMNS.items() if column not in ("name", "t4_fp16_bs4")
    ]


def listed(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["resnexus", "list", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    return capsys.readouterr()


def test_nothing_that_matches_is_said(monkeypatch, capsys):
    found = listed(monkeypatch, capsys, "zzz")
    assert found.out == ""
    assert found.err == "nothing matches pattern 'zzz': see `resnexus list` for all\n"
    found = listed(monkeypatch, capsys, "154", "--family", "res2net")
    assert found.err == "nothing matches pattern '154', family 'res2net': see `resnexus list` for all\n"
    assert listed(monkeypatch, capsys, "zzz", "--json").out == "[]\n"


def test_a_pattern_is_a_part_of_the_name_or_its_form(monkeypatch, capsys):
    assert [matches("ResNeXt50_vd_32x4d", pattern) for pattern in ("NEXT50", "*50*", "res*", "50*", "r?snext50")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    lines = listed(monkeypatch, capsys, "se_").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [name for name in list_models() if "SE_" in name]
