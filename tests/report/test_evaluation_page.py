import re
from dataclasses import replace

from resnexus.evaluation.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE
from resnexus.report.document import is_report
from resnexus.report.evaluation_page import GENERATOR, findings, render, write_page
from tests.report.evaluated import PREDICTIONS, THUMBNAILS, build


def test_the_verdict_in_sentences():
    assert findings(build()) == [
        "66.67 % top-1 (95 % interval 30.00 to 90.32) on 6 images of 2 classes.",
        "Published are 73.33 % top-1: −6.66 points, within the interval.",
        "80.00 % by the ReaL labels, of 5 images that have some.",
        *(one for one in findings(build()) if one.startswith("Expected calibration error ")),
        "Against other.safetensors on the same images: −16.67 ± 40.00 points of top-1, 1 images won and 2 lost, "
        "p < 0.001 (McNemar): a difference.",
        "other.safetensors was not evaluated under these corruptions with the same seed, severities and preparation: "
        "no errors are set against its.",
        "3 classes compete, and 2 of them have images.",
    ]
    six = build(images=replace(build().images, competing=6))
    assert findings(six)[0].startswith("66.67 % top-1 (95 % interval 30.00 to 90.32) and 100.00 % top-5 on 6 images")
    network = build().network
    assert "outside of the interval" in findings(build(network=replace(network, published_top1=0.95)))[1]
    paired = replace(build().against.paired, p_value=0.3)
    assert "no difference that these images show" in findings(build(against=replace(build().against, paired=paired)))[4]


def test_a_temperature_at_the_end_of_the_search_is_said_to_be_none():
    said = {
        end: findings(build(calibration=replace(build().calibration, temperature=end)))[3]
        for end in (MIN_TEMPERATURE, 1.5, MAX_TEMPERATURE)
    }
    assert said[1.5].endswith("that of all is 1.500.")
    assert said[MIN_TEMPERATURE].endswith("that of all is 0.010, the end of the search: none is best.")
    assert said[MAX_TEMPERATURE].endswith("that of all is 100.000, the end of the search: none is best.")


def test_the_page_opens_without_a_network(tmp_path):
    record = build()
    page = write_page(record, PREDICTIONS, THUMBNAILS, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert is_report(page, GENERATOR)
    assert not is_report(page)  # which a comparison would replace
    assert not re.search(r'(src|href)="(?!#|data:image/)', text)
    assert "<dog>" not in text
    assert "&lt;dog&gt;" in text
    for address in THUMBNAILS.values():
        assert f'src="{address}"' in text
    assert text.count('class="small"') == 1  # PNG, shown pixel by pixel
    assert "resnexus evaluate SE_ResNet18_vd --data val" in text
    assert "val/g.jpg: damaged" in text
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {
        "accuracy",
        "classes",
        "confusions",
        "confusion_matrix",
        "calibration",
        "size",
        "sensitivity",
        "corruptions",
    }


def test_every_answer_is_counted_in_a_file(tmp_path):
    write_page(build(), PREDICTIONS, THUMBNAILS, tmp_path)
    assert (tmp_path / "tables" / "confusion_matrix.csv").read_text().splitlines() == [
        "class,answer,images",
        "cat,cat,2",
        "cat,<dog>,1",
        "<dog>,<dog>,2",
        "<dog>,pig,1",
    ]


def test_the_same_evaluation_gives_the_same_bytes():
    assert render(build(), PREDICTIONS, THUMBNAILS) == render(build(), PREDICTIONS, THUMBNAILS)


def test_the_matrix_counts_answers():
    text = render(build(), PREDICTIONS, THUMBNAILS)
    table = text[text.index("Confusion matrix: rows") : text.index("Most frequent confusions")]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table, re.DOTALL)
    counts = {
        name: [int(cell or 0) for cell in re.findall(r"<td>(?:<span.*?</span>)?(\d*)</td>", row)] for name, row in rows
    }
    assert counts == {"cat": [2, 1, 0], "&lt;dog&gt;": [0, 2, 1], "pig": [0, 0, 0]}


def test_what_there_is_not_is_left_out():
    bare = build(variations=(), corruptions=(), confusions=(), against=None, real=None)
    text = render(bare, PREDICTIONS, {})
    assert "Other conditions" not in text
    assert "No image was mistaken." in text
    assert "ReaL" not in text
