"""The Celery application. Tasks are doorbells: ids only, no results, nothing lost when one is."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")

BROWSER_QUEUE = "browser"

app = Celery("relance_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue("default"), Queue(BROWSER_QUEUE)]
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Celery would replace the redacting formatter by its own; Django has set logging up."""
