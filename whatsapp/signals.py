"""What this app tells those above it; it knows none of them."""

from django.dispatch import Signal

# Sent inside the transaction that changed the message, after the change.
# Arguments: message (Message, its new state), old_state (str), now (datetime).
message_changed = Signal()

# Sent inside the transaction that cancelled them, without a message_changed of each.
# Arguments: message_ids (list of int), now (datetime).
messages_cancelled = Signal()

# Sent inside the transaction that stored it: the recipient has listened to a voice message.
# Arguments: message (Message), now (datetime).
message_played = Signal()

# Sent inside the transaction that opted a contact out.
# Arguments: contact (Contact), actor (Actor), now (datetime).
contact_opted_out = Signal()

# Sent inside the transaction that let them be written to again. Arguments as above.
contact_opted_in = Signal()

# Sent inside the transaction that recorded or withdrew it: `contact.obstacle` says what holds now.
# Arguments: contact (Contact), actor (Actor), now (datetime).
lawful_basis_changed = Signal()

# Members of a group became contacts, or were found to have a phone, whom nobody may write to
# without a lawful basis. Sent inside the transaction that did it, for those above who know one.
# Arguments: tenant_id (int), contact_ids (list[int]), now (datetime).
contacts_scraped = Signal()

# A phone and a LID turned out to be one person. Sent inside the transaction, both rows locked,
# before anything is moved: whatever still refers to `gone` afterwards is moved to `kept`, or
# deleted with it where `kept` has the like already (same unique fields).
# Arguments: kept (Contact), gone (Contact), now (datetime).
contacts_merged = Signal()

# Sent inside the transaction that changed it.
# Arguments: account (Account), old_status (str), now (datetime).
account_changed = Signal()

# Sending of an account was resumed: places in any queue move on by the length of the pause.
# Arguments: account (Account), paused_for (timedelta), now (datetime).
sending_resumed = Signal()

# Sent inside the transaction that stored it, once; a wish to stop has been heeded by then.
# Arguments: incoming (Incoming), chat (Chat; None in a group), now (datetime).
incoming_stored = Signal()

# Sent inside the transaction: a person writes in this chat now, until `chat.taken_over_until`.
# Comes again whenever that moves on.
# Arguments: chat (Chat), actor (Actor), now (datetime).
chat_taken_over = Signal()

# Sent inside the transaction that ended a take-over early. One that runs out is not told.
# Arguments: chat (Chat), actor (Actor), now (datetime).
chat_given_back = Signal()
