"""WSGI entry for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

from relance_project import local

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")

local.ensure_running(reason="web")
application = get_wsgi_application()
