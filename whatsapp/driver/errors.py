"""What can go wrong in a session. Reached by everybody as `base.<name>`."""

from __future__ import annotations


class DriverError(Exception):
    """Something went wrong; the subclass is the decision, `code` the reason for people and logs.

    `code` is a short stable word (``not_on_whatsapp``, ``nack_463``, ``page_not_ready``).
    Messages never hold phone numbers or message text.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


class Permanent(DriverError):
    """It will never work for this recipient or content: do not try again."""


class Retryable(DriverError):
    """Nothing left this machine: trying again with the same ``wa_id`` is safe."""


class Unknown(DriverError):
    """It may or may not have left (time-out, ERROR_NETWORK, browser died): look it up first."""


class SessionLost(Retryable):
    """The session cannot act now: logged out, conflict, page gone. Nothing was sent.

    The browser has to be closed or linked again before anything else works.
    """


class NotOnWhatsApp(Permanent):
    """The phone number has no WhatsApp account."""

    def __init__(self) -> None:
        super().__init__("not_on_whatsapp", "this phone number is not on WhatsApp")


class TooLate(Retryable):
    """The page refused to start a send after ``not_after``; nothing was sent."""

    def __init__(self) -> None:
        super().__init__("too_late", "the send was not started: its time window had closed")
