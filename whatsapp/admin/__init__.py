"""WhatsApp in the admin: numbers.py, panel.py and leases.py (accounts), said.py (messages),
contacts.py, groups.py, people.py (answers, files), chats.py, agents.py, webhooks.py."""

from whatsapp.admin import agents, chats, contacts, groups, leases, numbers, people, said, webhooks

__all__ = [
    "agents",
    "chats",
    "contacts",
    "groups",
    "leases",
    "numbers",
    "people",
    "said",
    "webhooks",
]
