"""Agents that answer chats.

`protocol.py` says what an agent is, `rules.py`, `webhook.py` and `retell.py` are the three kinds;
`intake.py` decides which incoming messages they are asked about, `turns.py` asks them, once for
each, and queues what they say; `sessions.py` begins and ends their conversations.
`switchboard.py` knows which kind is which class.
"""
