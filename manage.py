#!/usr/bin/env python
"""Django's command line, with the embedded PostgreSQL and Redis started when they are needed."""

import os
import sys

# Commands that never reach for the database: starting one for them would only cost time.
WITHOUT_SERVICES = {"help", "--help", "-h", "version", "--version", "simulator", "makemessages"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
    from django.core.management import execute_from_command_line

    if len(sys.argv) > 1 and sys.argv[1] not in WITHOUT_SERVICES:
        from relance_project import local

        local.ensure_running(reason=f"manage.py {sys.argv[1]}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
