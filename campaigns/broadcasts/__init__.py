"""One message to everybody of a segment: written (authoring.py), asked whether it may be sent
(readiness.py), tried without sending (rehearsal.py), started, paused and cancelled (running.py),
queued account by account (queueing.py) and followed into the ledger (tracking.py)."""
