"""A network as a web page: it classifies pictures in the browser, without a server and without a network."""

from resnexus.artefacts.web.build import build_web
from resnexus.artefacts.web.record import WebRecord

__all__ = ["WebRecord", "build_web"]
