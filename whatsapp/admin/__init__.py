"""WhatsApp in the admin: numbers.py and panel.py (accounts), said.py (messages), people.py,
webhooks.py."""

from whatsapp.admin import agents, chats, numbers, people, said, webhooks

__all__ = ["agents", "chats", "numbers", "people", "said", "webhooks"]
