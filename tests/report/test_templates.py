import pytest

from resnexus.report.templates import shipped, template


def test_a_template_refuses_what_it_was_not_given():
    jinja2 = pytest.importorskip("jinja2")
    with pytest.raises(jinja2.UndefinedError, match="'generator' is undefined"):
        template("evaluation.html").render()
    assert "{% macro show(table) %}" in shipped("parts.html")
