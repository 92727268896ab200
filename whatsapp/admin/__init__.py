"""WhatsApp in the admin: numbers.py and panel.py (accounts), said.py (messages), people.py,
webhooks.py."""

from whatsapp.admin import numbers, people, said, webhooks

__all__ = ["numbers", "people", "said", "webhooks"]
