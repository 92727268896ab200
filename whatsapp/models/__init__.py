"""Numbers and messages; knows no campaign.

`Account`, `Lease`, `Profile` and `Usage` are about a number and who drives it (accounts.py here);
`Contact`, `Media`, `Message`, `Attempt` and `Incoming` about what is said (messages.py).
"""

from whatsapp.models.accounts import Account, Lease, Profile, Usage
from whatsapp.models.messages import Attempt, Contact, Incoming, Media, Message

__all__ = [
    "Account",
    "Attempt",
    "Contact",
    "Incoming",
    "Lease",
    "Media",
    "Message",
    "Profile",
    "Usage",
]
