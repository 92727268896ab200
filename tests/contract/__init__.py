"""One suite for every driver: what `whatsapp/driver/base.py` promises, driver by driver."""
