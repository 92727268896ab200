"""Campaigns in the admin: what is said (content.py), to whom (people.py), how far."""

from campaigns.admin import content, following, people

__all__ = ["content", "following", "people"]
