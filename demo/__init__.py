"""`make demo`: the whole product on this machine, with a simulated WhatsApp, and a verdict.

``manage.py demo`` prepares the stage (`stage`: a database, a Redis prefix and directories of its
own) and runs ``python -m demo`` on it, which starts every process (`processes`), plays customers
and referrers over HTTP (`scenario`), shows how far it is (`progress`), and compares at the end what
the simulator received with what the database says (`verdict`).
"""
