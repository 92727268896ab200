"""What browsers are told about every answer: what it may load, run and be framed by.

Nothing comes from another host. The admin needs more than the rest: Alpine, which django-unfold is
made with, compiles the expressions in its attributes (``unsafe-eval``), and it sets styles inline.
Swagger UI sets styles inline. Answers that are no pages may load nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

Policy = dict[str, str]

CLOSED: Policy = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
PAGE: Policy = {
    **CLOSED,
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "media-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
}
INLINE_STYLES: Policy = {**PAGE, "style-src": "'self' 'unsafe-inline'"}
ADMIN: Policy = {
    **INLINE_STYLES,
    "script-src": "'self' 'unsafe-eval'",
    "img-src": "'self' data: blob:",
}
BY_PREFIX = {"/admin/": ADMIN, "/api/docs/": INLINE_STYLES}
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def policy_for(path: str, content_type: str) -> Policy:
    """The policy of one answer."""
    if not content_type.startswith("text/html"):
        return CLOSED
    return next((found for prefix, found in BY_PREFIX.items() if path.startswith(prefix)), PAGE)


def browser_headers(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware; stands before whatever may answer by itself."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        policy = policy_for(request.path, response.headers.get("Content-Type", ""))
        # A view that knows better, as for a file that somebody uploaded, has set its own.
        response.headers.setdefault(
            "Content-Security-Policy",
            "; ".join(f"{name} {value}" for name, value in policy.items()),
        )
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response

    return answer
