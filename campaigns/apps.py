from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        # They connect to whatsapp.signals.
        from campaigns import conversations, following, lawful_basis  # noqa: F401
        from campaigns.broadcasts import tracking  # noqa: F401
        from relance_project import labels

        labels.translate()  # the models of every app are there by now
