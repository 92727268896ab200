"""WhatsApp in the admin: numbers.py and panel.py (accounts), said.py (messages), people.py."""

from whatsapp.admin import numbers, people, said

__all__ = ["numbers", "people", "said"]
