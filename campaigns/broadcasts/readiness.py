"""Whether a broadcast may be started: refused while something is missing, not person by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from campaigns import rendering, segments
from campaigns.broadcasts import texts
from campaigns.models import Broadcast
from whatsapp.models import Account
from whatsapp.obstacles import obstacle


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that must be there first. `field` as in the API: ``texts.fr``, ``accounts``."""

    field: str
    code: str
    text: str


class NotReady(ValueError):
    """The broadcast cannot be started; nothing was changed. `gaps` says what is missing."""

    def __init__(self, gaps: Sequence[Gap]) -> None:
        super().__init__("; ".join(gap.text for gap in gaps))
        self.gaps = list(gaps)


def gaps(broadcast: Broadcast, *, now: datetime) -> list[Gap]:
    """Everything that is missing; empty when it may be started."""
    return [*_segment(broadcast), *_accounts(broadcast, now), *_texts(broadcast)]


def _segment(broadcast: Broadcast) -> list[Gap]:
    if broadcast.segment is None:
        return [Gap("segment", "missing", _("choose the segment that is written to"))]
    if segments.reachable(broadcast.tenant, broadcast.segment.rules).exists():
        return []
    if segments.matching(broadcast.tenant, broadcast.segment.rules).exists():
        text = _("nobody in “%s” may be written to: they opted out, or lack a lawful basis")
        return [Gap("segment", "nobody_reachable", text % broadcast.segment)]
    return [Gap("segment", "empty", _("there is nobody in “%s”") % broadcast.segment)]


def _accounts(broadcast: Broadcast, now: datetime) -> list[Gap]:
    accounts = list(broadcast.accounts.select_related("tenant"))
    if not accounts:
        return [Gap("accounts", "missing", _("choose the accounts it is sent from"))]
    return [
        Gap("accounts", "not_linked", obstacle(account, now=now))
        for account in accounts
        if not account.enabled or account.status not in Account.LINKED_STATUSES
    ]


def _texts(broadcast: Broadcast) -> list[Gap]:
    tenant = broadcast.tenant
    written = {text.language: text for text in broadcast.texts.all()}
    default = broadcast.default_language
    found = []
    if default not in written:
        text = _("there is no text in “%s”, the default language") % default
        found.append(Gap(f"texts.{default}", "missing", text))
    for language, one in sorted(written.items()):
        wrong = texts.problem(one.kind, one.body, tenant)
        if not wrong and "link" in rendering.names_in(one.body) and not tenant.payment_link:
            wrong = _("{{link}} needs the company's payment link: write it on the company's page")
        if wrong:
            found.append(Gap(f"texts.{language}", "template", f"{language}: {wrong}"))
    return found
