#!/usr/bin/env python
"""Django's command line, with the embedded PostgreSQL and Redis started when they are needed."""

import json
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

# Commands that never reach for the database: starting one for them would only cost time. The
# doctor starts it itself, and says what is the matter if it cannot.
WITHOUT_SERVICES = {
    *("help", "--help", "-h", "version", "--version"),
    *("doctor", "makemessages", "simulator"),
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
    from django.core.management import execute_from_command_line

    try:
        if len(sys.argv) > 1 and sys.argv[1] not in WITHOUT_SERVICES:
            from relance_project import local

            local.ensure_running(reason=f"manage.py {sys.argv[1]}")
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        if sys.argv[1:2] == ["doctor"] and "--json" in sys.argv:
            finding = {"check": "settings", "status": "fail", "said": str(error), "mend": ""}
            print(json.dumps({"ok": False, "findings": [finding]}, indent=2))
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
