"""`/api/relance/`, and `/api/v1/` for messages, people and what is said: doors only."""
