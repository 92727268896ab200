"""Errors of the API in one shape."""
from rest_framework.views import exception_handler as handle  # noqa: F401
