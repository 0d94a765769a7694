"""From the records of a comparison to its tables, its figures and its page; nothing is measured here."""

from resnexus.report.document import write_report

__all__ = ["write_report"]
