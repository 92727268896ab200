"""Campaigns and who is followed up.

What is said: `Campaign`, `Step`, `Template` (content.py). To whom: `Referrer`, `Referral`,
`Payment` (people.py). Where each one stands: `Target`, `Delivery`, `AccountSchedule`
(following.py). One message to many: `Broadcast`, `BroadcastText`, `Segment`, `Recipient`
(broadcasts.py).
"""

from campaigns.models.broadcasts import Broadcast, BroadcastText, Recipient, Segment
from campaigns.models.content import Campaign, Step, Template
from campaigns.models.following import AccountSchedule, Delivery, Target
from campaigns.models.people import Payment, Referral, Referrer

__all__ = [
    "AccountSchedule",
    "Broadcast",
    "BroadcastText",
    "Campaign",
    "Delivery",
    "Payment",
    "Recipient",
    "Referral",
    "Referrer",
    "Segment",
    "Step",
    "Target",
    "Template",
]
