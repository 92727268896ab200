"""Why an account is not connected, in words for people.

Workers write `status_reason` in English, for operators and logs; here is what it means to whoever's
phone it is, in the language that is active.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# By how a reason begins.
WORDS: dict[str, str | Promise] = {
    "nobody scanned": _("Nobody scanned the code in time."),
    "this phone is linked": _(
        "This phone is linked to another account of Relance already. "
        "Disconnect that one first, or scan with another phone."
    ),
    "the connection did not come back": _(
        "WhatsApp could not be reached for a while, so the connection was given up."
    ),
    "the browser did not get ready": _("WhatsApp Web did not open."),
    "disconnected by request": _("It was disconnected by request."),
    "the device was removed": _("Relance was removed from the linked devices of the phone."),
    "the session is no longer linked": _(
        "Relance was removed from the linked devices of the phone."
    ),
    "the same login was opened": _("The same session was opened in another window."),
}

# What took most off a score (health.py).
OF_HEALTH: dict[str, str | Promise] = {
    "acks": _("WhatsApp’s server answers late, or not at all"),
    "delivery": _("many messages do not reach a phone"),
    "replies": _("almost nobody answers"),
    "failures": _("many messages fail, or go to numbers that are not on WhatsApp"),
    "opt_outs": _("many people say stop"),
    "refusals": _("WhatsApp refuses messages"),
    "disconnects": _("it was logged out, or lost its connection"),
}
# What a due message waits for (pace.py).
OF_HOLDS: dict[str, str | Promise] = {
    "cold_chats": _("WhatsApp does not let this account begin new chats for now"),
    "nack_463": _("WhatsApp does not let this account begin new chats for now"),
    "new_chats": _("the account has begun its new chats of the day"),
    "quiet_hours": _("it was night at the recipient’s"),
}

# Why an agent gave no answer, or was not asked (agents/).
OF_AGENTS: dict[str, str | Promise] = {
    "agent_changed": _("another agent answers there now"),
    "agent_deleted": _("the agent was deleted"),
    "bad_answer": _("the agent’s answer has no texts, or too many"),
    "bad_setup": _("the agent is not set up: see its page"),
    "bad_status": _("the agent answered with an error"),
    "echoes_us": _("somebody said our last answer back"),
    "gave_up": _("whoever asked the agent died again and again"),
    "html": _("the agent answered with a web page"),
    "not_json": _("the agent’s answer is no JSON"),
    "opted_out": _("the person said stop"),
    "own_number": _("it is a number of the company itself"),
    "refused": _("the agent refuses our key or secret"),
    "repeats_itself": _("the same words came four times in a row"),
    "taken_over": _("a person has taken the conversation over"),
    "too_long": _("the agent’s answer is too long"),
    "too_many": _("the agent has given all the answers it may within an hour"),
    "too_slow": _("the agent did not answer in time"),
    "unreachable": _("the agent cannot be reached"),
}


def of_agent(code: str) -> str:
    """Why there was no answer; "" for no reason."""
    return str(OF_AGENTS.get(code, code.replace("_", " ")))


def of_hold(code: str) -> str:
    return str(OF_HOLDS[code])


def of_health(code: str) -> str:
    """Why a score is low, as part of a sentence; "" for no reason."""
    return str(OF_HEALTH.get(code, code))


def in_words(status_reason: str) -> str:
    """The reason for people; "" when it means nothing to them."""
    return next(
        (str(words) for begins, words in WORDS.items() if status_reason.startswith(begins)), ""
    )
