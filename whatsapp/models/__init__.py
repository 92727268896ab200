"""Numbers and messages; knows no campaign.

`Account`, `Lease`, `Profile` and `Usage` are about a number and who drives it (accounts.py here),
`HealthSample` about how it fares (pace.py);
`Contact` and `ConsentEntry` about people (contacts.py), `Group` and `GroupMember` about groups
(groups.py); `Media`, `Message`, `Attempt` and `MessageReceipt` about what is said (messages.py);
`Chat` and `Incoming` about what comes in (chats.py); `ChatAgent`, `AgentRule`, `AgentSession` and
`AgentTurn` about what answers by itself (agents.py); `Suppression` about whom nobody writes to
any more (suppressions.py); `WebhookEndpoint`, `WebhookEvent` and `WebhookDelivery` about other
systems that are told (webhooks.py).
"""

from whatsapp.models.accounts import Account, Lease, Profile, Usage
from whatsapp.models.agents import AgentRule, AgentSession, AgentTurn, ChatAgent
from whatsapp.models.chats import Chat, Incoming
from whatsapp.models.contacts import ConsentEntry, Contact
from whatsapp.models.groups import Group, GroupMember
from whatsapp.models.messages import Attempt, Media, Message, MessageReceipt
from whatsapp.models.pace import HealthSample
from whatsapp.models.suppressions import Suppression
from whatsapp.models.webhooks import WebhookDelivery, WebhookEndpoint, WebhookEvent

__all__ = [
    "Account",
    "AgentRule",
    "AgentSession",
    "AgentTurn",
    "Attempt",
    "Chat",
    "ChatAgent",
    "ConsentEntry",
    "Contact",
    "Group",
    "GroupMember",
    "HealthSample",
    "Incoming",
    "Lease",
    "Media",
    "Message",
    "MessageReceipt",
    "Profile",
    "Suppression",
    "Usage",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
]
