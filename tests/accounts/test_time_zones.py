"""A tenant's zone is one that Python and PostgreSQL read alike: both say which day it is."""

import importlib
import zoneinfo
from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection

from accounts.models import Tenant, validate_timezone


def is_accepted(name: str) -> bool:
    try:
        validate_timezone(name)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("month", [1, 7])
def test_every_zone_that_a_tenant_may_have_is_the_same_in_python_and_postgresql(db, month):
    moment = datetime(2024, month, 15, 12, tzinfo=UTC)
    accepted = sorted(filter(is_accepted, zoneinfo.available_timezones()))
    assert len(accepted) > 400
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, %s AT TIME ZONE name FROM unnest(%s::text[]) AS name", [moment, accepted]
        )
        read = dict(cursor.fetchall())
    ours = {name: moment.astimezone(zoneinfo.ZoneInfo(name)).replace(tzinfo=None) for name in read}
    assert read == ours


@pytest.mark.parametrize("name", ["CET", "EET", "MET", "WET", "localtime", "Europe/Atlantis"])
def test_a_zone_that_would_be_read_in_two_ways_or_in_none_is_refused(name):
    with pytest.raises(ValidationError, match="use a name such as Europe/Paris"):
        Tenant(slug="acme", name="Acme", timezone=name).clean_fields()


def test_a_tenant_that_has_such_a_zone_already_gets_that_of_a_place_with_its_clocks(acme):
    Tenant.objects.update(timezone="CET")
    importlib.import_module("accounts.migrations.0009_zones_by_place").name_places(apps, None)
    assert Tenant.objects.get().timezone == "Europe/Brussels"
