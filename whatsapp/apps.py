from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WhatsAppConfig(AppConfig):
    name = "whatsapp"
    verbose_name = _("WhatsApp")

    def ready(self) -> None:
        from whatsapp import health, recording, zones  # noqa: F401  connects to signals
        from whatsapp.agents import intake  # noqa: F401  the same
        from whatsapp.webhooks import events  # noqa: F401  the same
