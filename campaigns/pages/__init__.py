"""The referrer's page: link a WhatsApp account, see what it does, pause it, disconnect it."""
