"""What the documentation shows is what happens.

The Python blocks of README.md run; its commands exist. The console blocks of docs/weights.md are run, in a folder of
their own with a mirror of golden weights, and print what the page says. After a change that is meant, write the page
anew: RESNEXUS_WRITE_DOCS=1 pytest tests/test_docs.py
"""

import json
import os
import pickle
import pkgutil
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer

from resnexus import architecture
from resnexus.cli import app
from resnexus.parity.golden import golden_weights
from resnexus.series.checkpoints import checkpoints
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import stored_shapes
from studies import dense, web_page
from tests.measured import check_measured

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = "SE_ResNet18_vd"


def blocks(path, kind):
    return [match["text"] for match in BLOCK.finditer(path.read_text()) if match["kind"] == kind]


def test_the_readmes_python_runs(capsys):
    namespace = {}
    for text in blocks(ROOT / "README.md", "python"):
        exec(compile(text, "README.md", "exec"), namespace)
    assert namespace["logits"].shape == (2, 10)
    assert [tuple(feature.shape[1:]) for feature in namespace["maps"]] == [(512, 28, 28), (1024, 14, 14), (2048, 7, 7)]
    assert capsys.readouterr().out == "25.03 M parameters, 8.46 GFLOPs\n"


def test_every_command_is_in_the_readme_and_every_target_in_the_makefile():
    text = (ROOT / "README.md").read_text()
    for command in app.registered_commands:
        assert f"`resnexus {command.name} " in text or f"`resnexus {command.name}`" in text, command.name
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", text):
        assert f"\n{target}:" in makefile or "$(" in target, target


def test_links_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)


COMMAND = re.compile(r"^\$ (?:torchrun .*? -m )?resnexus ((?:.*\\\n)*.*)$", re.MULTILINE)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_command_that_is_shown_has_its_options(page):
    verbs = typer.main.get_command(app).commands
    for line in COMMAND.findall(page.read_text()):
        verb, *arguments = shlex.split(line.replace("\\\n", " "), comments=True)
        found = verbs[verb]
        while hasattr(found, "commands"):  # a verb of several steps
            verb, *arguments = arguments
            found = found.commands[verb]
        found.make_context(verb, arguments)


def mirrored(folder, *names):
    """Lay golden weights out in `folder`/mirror as the published server has its checkpoints."""
    for name in names:
        checkpoint = checkpoints()[name]
        target = folder / "mirror" / urlsplit(checkpoint.url).path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            pickle.dump(golden_weights(stored_shapes(PADDLE, architecture(checkpoint.architecture))), file, protocol=2)


@pytest.fixture
def place(tmp_path):
    """A folder with a mirror of one checkpoint."""
    mirrored(tmp_path, NAME)
    return tmp_path


@pytest.mark.thorough
def test_the_weights_page_shows_what_is_printed(place, command, monkeypatch):
    page = ROOT / "docs" / "weights.md"
    monkeypatch.chdir(place)
    monkeypatch.setenv("RESNEXUS_HOME", "weights")
    monkeypatch.setenv("RESNEXUS_MIRROR", f"file://{place}/mirror")

    def printed(line):
        name, *arguments = shlex.split(line)
        assert name == "resnexus", line
        return command(*arguments, merged=True).stdout

    def executed(match):
        if match["kind"] != "console":
            return match[0]
        lines = [line[2:] for line in match["text"].splitlines() if line.startswith("$ ")]
        shown = "".join(f"$ {line}\n{printed(line)}" for line in lines)
        return f"```console\n{shown}```"

    written = BLOCK.sub(executed, page.read_text())
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        page.write_text(written)
    # The last digits of a difference are the processor's own.
    assert re.sub(r"difference [\d.e-]+", "difference", written) == re.sub(
        r"difference [\d.e-]+", "difference", page.read_text()
    )


MEASURED = re.compile(r"(?<=<!-- measured: reading -->\n).*?(?=<!-- end -->)", re.DOTALL)


def reading_table():
    """The table of docs/weights.md, from the records."""
    records = [json.loads(path.read_text()) for path in sorted((ROOT / "results").glob("*_pdparams_cpu_*.json"))]
    machine = records[0]["environment"]
    lines = [
        "SENet154_vd, 122 M parameters, written by the real `paddle.save`; "
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
        f"paddlepaddle {machine['paddlepaddle']}.\n",
        "| file | reader | time, ms, median | quartiles, ms | repeats | peak memory, MB |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for record in records:
        for file in record["files"]:
            for reader, found in file["readers"].items():
                low, high = found["time_ms"]["quartiles"]
                lines.append(
                    f"| {file['file_bytes'] / 1e6:.0f} MB, protocol {file['protocol']} | `{reader}` "
                    f"| {found['time_ms']['median']:.0f} | {low:.0f} to {high:.0f} | {record['repeats']} "
                    f"| {found['peak_bytes'] / 1e6:.0f} |"
                )
    return "\n".join(lines) + "\n"


def test_measured_figures_come_from_the_records():
    page = ROOT / "docs" / "weights.md"
    written = MEASURED.sub(reading_table(), page.read_text())
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        page.write_text(written)
    assert reading_table() in page.read_text()


@pytest.mark.parametrize(
    ("page", "mark", "section"), [("backbones.md", "dense", dense.section), ("web.md", "web", web_page.section)]
)
def test_what_was_measured_comes_from_the_records(page, mark, section):
    check_measured(ROOT / "docs" / page, mark, section())


NAMED = re.compile(r"(?<![\w/\[.-])resnexus((?:\.[A-Za-z_]\w*)+)")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_name_of_the_package_that_is_shown_is_there(page):
    for name in sorted({match[1] for match in NAMED.finditer(page.read_text())}):
        if not name.endswith(".json"):  # a file of that name
            pkgutil.resolve_name(f"resnexus{name}")
