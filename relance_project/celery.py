"""The Celery application. Tasks are doorbells: ids only, no results, nothing lost when one is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery
from celery.signals import setup_logging
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError
from kombu import Queue

from relance_project import local
from whatsapp import remote  # noqa: F401 - registers what `inspect` and `control` can ask

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")

if Path(sys.argv[0]).name == "celery":
    # Celery has no hook before its commands connect; others that import this do not get here.
    try:
        local.ensure_running(reason="celery")
    except (ImproperlyConfigured, EnvError) as error:
        sys.exit(f"celery: {error}")

DEFAULT_QUEUE, OUTSIDE_QUEUE, BROWSER_QUEUE = QUEUES = ("default", "outside", "browser")

app = Celery("relance_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Without a routing key of its own a queue is bound to the default one, and would get its messages.
app.conf.task_queues = [Queue(name, routing_key=name) for name in QUEUES]
app.autodiscover_tasks()
app.steps["worker"].add("relance_project.heartbeat:Heartbeat")


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Celery would replace the redacting formatter by its own; Django has set logging up."""
