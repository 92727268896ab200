"""WhatsApp in the admin: accounts with what they may send (numbers.py), what was said (said.py)."""

from whatsapp.admin import numbers, said

__all__ = ["numbers", "said"]
