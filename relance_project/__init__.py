"""The Django project: settings, Celery, addresses, embedded services."""

from relance_project.celery import app as celery_app

__all__ = ["celery_app"]
