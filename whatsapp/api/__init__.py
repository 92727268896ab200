"""`/api/v1/` for numbers and `/api/whatsapp/` for agents: doors only, what they do is elsewhere."""
