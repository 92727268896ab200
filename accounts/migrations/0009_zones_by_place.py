"""Zones that PostgreSQL reads as abbreviations become those of places with the same clocks."""

from django.db import migrations

PLACES = {
    "CET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "MET": "Europe/Brussels",
    "WET": "Europe/Lisbon",
}


def name_places(apps, schema_editor):
    for name, place in PLACES.items():
        apps.get_model("accounts", "Tenant").objects.filter(timezone=name).update(timezone=place)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_scopes_by_function"),
    ]

    operations = [
        migrations.RunPython(name_places, migrations.RunPython.noop),
    ]
