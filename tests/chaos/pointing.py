"""Django and Celery of this process on the services of a rig, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
from celery import current_app
from django.conf import settings
from django.core.cache import caches
from django.db import connection, connections
from django.test import override_settings

from relance_project import local
from whatsapp import limits


@contextlib.contextmanager
def pointed_at(services: local.LocalServices, directory: Path, **values: int) -> Iterator[None]:
    """Django and Celery of this process work on the services of a rig, with the settings
    `values`.

    The dictionary of the database is changed in place: every thread's connection reads it.
    """
    connections.close_all()
    config: dict[str, Any] = connection.settings_dict
    before = dict(config)
    parsed = dj_database_url.parse(services.database_url)
    config.update({name: parsed[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
    broker = current_app.conf.broker_url
    storages = {**settings.STORAGES}
    storages["profiles"] = {
        **storages["profiles"],
        "OPTIONS": {**storages["profiles"]["OPTIONS"], "location": directory / "archives"},
    }
    try:
        with override_settings(
            DATABASE_URL=services.database_url,
            REDIS_URL=services.redis_url,
            CACHES={"default": {**settings.CACHES["default"], "LOCATION": services.redis_url}},
            STORAGES=storages,
            WHATSAPP_SESSION_PATH=directory / "profiles",
            **values,
        ):
            _use_broker(local.broker_url(services.redis_url))
            yield
    finally:
        connections.close_all()
        config.clear()
        config.update(before)
        _use_broker(broker)


def _use_broker(url: str) -> None:
    limits.server.cache_clear()
    caches.close_all()
    current_app.conf.broker_url = url
    current_app.close()
    current_app.amqp._producer_pool = None
