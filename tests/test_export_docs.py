"""docs/export.md shows what happens: its commands are run and print what it says, and its Python runs after them.

After a change that is meant, write the page anew: RESNEXUS_WRITE_DOCS=1 pytest tests/test_export_docs.py
"""

import os
import re
import shlex

import pytest
from PIL import Image

from resnexus.artefacts.photographs import photographs
from tests.test_docs import BLOCK, ROOT, blocks

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
PAGE = ROOT / "docs" / "export.md"
# The last digits of a difference are the processor's own; the opset is the exporter's.
VARYING = re.compile(r"difference [\d.e-]+|opset \d+")


@pytest.mark.thorough
def test_the_page_shows_what_is_printed_and_its_python_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def executed(match):
        if match["kind"] != "console":
            return match[0]
        lines = [line[2:] for line in match["text"].replace("\\\n", "\\\0").splitlines() if line.startswith("$ ")]
        shown = ""
        for line in lines:
            _, *arguments = shlex.split(line.replace("\\\0", " "))
            done = command(*arguments)
            assert done.returncode == 0, done.stderr
            shown += "$ " + line.replace("\0", "\n") + "\n" + done.stdout
        return f"```console\n{shown}```"

    page = PAGE.read_text()
    written = BLOCK.sub(executed, page)
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        PAGE.write_text(written)
    assert VARYING.sub("", written) == VARYING.sub("", PAGE.read_text())
    Image.fromarray(photographs()[0]).save("photo.jpg")
    for text in blocks(PAGE, "python"):
        exec(compile(text, "export.md", "exec"), {})
    *top, last = capsys.readouterr().out.splitlines()
    assert len(top) == 5
    assert last == "random 64 1.0"
