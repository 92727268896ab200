"""Outgoing webhooks: a company's own systems are told what happens.

`emit` writes an event in the transaction of what happened, so that none is told that did not
happen and none is lost; `delivery.py` calls the endpoints, at least once and in order for each
object; `endpoints.py` is what people do with them; `signing.py` says how calls are signed.
"""
