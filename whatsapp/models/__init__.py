"""Numbers and messages; knows no campaign.

`Account`, `Lease`, `Profile` and `Usage` are about a number and who drives it (accounts.py here);
`Contact`, `Media`, `Message`, `Attempt` and `Incoming` about what is said (messages.py);
`Suppression` about whom nobody writes to any more (suppressions.py).
"""

from whatsapp.models.accounts import Account, Lease, Profile, Usage
from whatsapp.models.messages import Attempt, Contact, Incoming, Media, Message
from whatsapp.models.suppressions import Suppression

__all__ = [
    "Account",
    "Attempt",
    "Contact",
    "Incoming",
    "Lease",
    "Media",
    "Message",
    "Profile",
    "Suppression",
    "Usage",
]
