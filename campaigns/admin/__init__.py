"""Campaigns in the admin: what is said (content.py), to whom (people.py), how far."""

from campaigns.admin import broadcasts, content, following, people, segments

__all__ = ["broadcasts", "content", "following", "people", "segments"]
