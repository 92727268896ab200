"""Calls of the control API over HTTP, with the standard library only."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

REQUEST_TIMEOUT = 10.0  # seconds for an answer, beyond what a long poll may take


class SimulatorControlError(Exception):
    """The simulator refused: `message` is its explanation, `status` as in HTTP (400, 404, 409).

    `status` 0: it could not be reached.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Caller:
    """Calls of the control API at `base_url`; every one may raise `SimulatorControlError`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._context: ssl.SSLContext | None = None
        if self.base_url.startswith("https"):
            self._context = ssl.create_default_context()
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def call(self, op: str, **body: Any) -> dict[str, Any]:
        """Any op; None values are left out. Returns the answer."""
        return self._post(op, {name: value for name, value in body.items() if value is not None})

    def _post(self, op: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own base_url
            f"{self.base_url}/__sim/{op}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        patience = REQUEST_TIMEOUT + float(body.get("timeout") or 0)
        try:
            with urllib.request.urlopen(  # noqa: S310 - our own base_url
                request, timeout=patience, context=self._context
            ) as answer:
                read: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise SimulatorControlError(_explanation(error), error.code) from error
        except (OSError, ValueError) as error:
            raise SimulatorControlError(f"{self.base_url}: {error}", 0) from error
        return read


def _explanation(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or str(error)
