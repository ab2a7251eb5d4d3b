"""The client of a captioner that TensorFlow Serving or `serving.server` serves, as a class and as a command."""

from serving.client.client import Attended, CaptionClient, Captioned, Scored

__all__ = ["Attended", "CaptionClient", "Captioned", "Scored"]
