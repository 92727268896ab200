"""People, keys, the activity log and the schedules in the admin."""

from accounts.admin import keys, log, machinery, people

__all__ = ["keys", "log", "machinery", "people"]
