"""What a contact's page says above its fields: may one write to them, what happened."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.verbs import Verb
from whatsapp import histories
from whatsapp.admin.panel import Button
from whatsapp.models import ConsentEntry, Contact, Message

VERDICTS = {
    "": _("yes"),
    "opted_out": _("no: asked for no more messages"),
    "no_lawful_basis": _("no: scraped; record a lawful basis first"),
}
COLOURS = {"": "success", "opted_out": "danger", "no_lawful_basis": "warning"}


def story(contact: Contact) -> dict[str, Any]:
    return {
        "colour": COLOURS[contact.obstacle],
        "answer": VERDICTS[contact.obstacle],
        "why": _why(contact),
        "buttons": _buttons(contact),
        "events": [
            {
                "at": event.at,
                "kind": event.kind,
                "text": _said(event),
                "detail": event.detail,
                "by": event.by,
            }
            for event in histories.of_contact(contact, limit=100)
        ],
    }


def _why(contact: Contact) -> str:
    match contact.obstacle:
        case "opted_out":
            return gettext("They asked for no more messages: %s") % contact.opt_out_reason
        case "no_lawful_basis":
            return gettext(
                "They were scraped from the group “%s”. Nobody may write to them before somebody "
                "records a lawful basis: who and when is kept."
            ) % (contact.source_detail or "-")
    if contact.lawful_basis:
        return gettext("A lawful basis is recorded: %s.") % contact.get_lawful_basis_display()
    return gettext("Nothing speaks against it.")


def _buttons(contact: Contact) -> list[Button]:
    """Only what is legal now; each asks before it does."""
    found = [Button("record_basis", _("Record a lawful basis …"), "gavel")]
    if contact.obstacle == "no_lawful_basis":
        found = [Button("record_basis", _("Record a lawful basis …"), "gavel", "primary")]
    if contact.lawful_basis:
        found.append(Button("withdraw_basis", _("Withdraw the lawful basis …"), "undo"))
    if contact.opted_out_at is None:
        found.append(Button("opt_out", _("Said stop …"), "block", "danger"))
    else:
        found.append(Button("opt_in", _("Wants messages again …"), "mark_chat_read"))
    return [*found, Button("tag", _("Tag …"), "sell")]


def _said(event: histories.Event) -> str:
    """An event in words."""
    match event.kind:
        case "message":
            return gettext("Message: %s") % Message.State(event.what).label
        case "incoming":
            return gettext("They wrote")
        case "consent":
            return str(ConsentEntry.What(event.what).label)
        case "seen_in_group":
            return gettext("Seen in a group")
        case "left_group":
            return gettext("Not in a group any more")
    return str(Verb(event.what).label)
