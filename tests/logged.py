"""What the log says, for tests that look at it."""

from __future__ import annotations

import logging
from typing import Any

import pytest


def errors(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Errors that the log has of this event, with all that stands in their lines."""
    said = [record.msg for record in caplog.records if record.levelno >= logging.ERROR]
    return [line for line in said if isinstance(line, dict) and line["event"] == event]
