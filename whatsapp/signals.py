"""What this app tells those above it; it knows none of them."""

from django.dispatch import Signal

# Sent inside the transaction that changed the message, after the change.
# Arguments: message (Message, its new state), old_state (str), now (datetime).
message_changed = Signal()

# Sent inside the transaction that opted a contact out.
# Arguments: contact (Contact), actor (Actor), now (datetime).
contact_opted_out = Signal()

# Sent inside the transaction that changed it.
# Arguments: account (Account), old_status (str), now (datetime).
account_changed = Signal()

# Sending of an account was resumed: places in any queue move on by the length of the pause.
# Arguments: account (Account), paused_for (timedelta), now (datetime).
sending_resumed = Signal()
