"""What explaining a target rests on, read once however much is asked."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

from campaigns.content import Contents
from campaigns.models import Target
from whatsapp import limits
from whatsapp.limits import Allowance
from whatsapp.models import Contact


class Background:
    """A target at one moment; load it with ``select_related(*explaining.RELATED)``."""

    def __init__(self, target: Target, now: datetime) -> None:
        self.target = target
        self.now = now

    @cached_property
    def contact(self) -> Contact | None:
        """Whom the messages go to; None before the first is written. One query."""
        return Contact.objects.filter(tenant=self.target.tenant_id, phone=self.target.phone).first()

    @cached_property
    def contents(self) -> Contents:
        """What the campaign says. Three queries."""
        contents = Contents()
        contents.load([self.target.campaign_id])
        return contents

    @cached_property
    def allowance(self) -> Allowance:
        """What the account may still send. One query."""
        return limits.snapshot(self.target.account, now=self.now)
