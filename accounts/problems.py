"""Errors of the API in one shape, RFC 9457 problem details::

    {"type": "urn:relance:invalid", "title": "Bad Request", "status": 400,
     "detail": "messageTemplate.fr: unknown variable {{prenom}}",
     "errors": [{"field": "messageTemplate.fr", "code": "template", "message": "unknown ..."}],
     "success": false, "message": "messageTemplate.fr: unknown ..."}

`success` and `message` are what callers of the old systems read. Nothing of Django, PostgreSQL or
Python is ever in an answer; an unexpected error is logged and answered as a plain 500.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.database import is_away

logger = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
INTERNAL = "Something went wrong on our side. It was logged."


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is its path in the body: ``mediaUrls[0].url``."""

    field: str
    code: str
    message: str


class Problem(exceptions.APIException):
    """An answer that is an error. `code` is a short stable word, `detail` a sentence for people."""

    def __init__(
        self, status: int, code: str, detail: str, *, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.errors = list(errors)

    @classmethod
    def of_field(cls, field: str, code: str, message: str) -> Problem:
        """400 because of one field."""
        return cls.of_fields([FieldError(field, code, message)])

    @classmethod
    def of_fields(cls, errors: Sequence[FieldError]) -> Problem:
        """400 because of some fields; there must be one at least."""
        first = errors[0]
        sentence = f"{first.field}: {first.message}" if first.field else first.message
        if len(errors) > 1:
            sentence += f" (and {len(errors) - 1} more)"
        return cls(400, "invalid", sentence, errors=errors)


def handle(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER: every exception of a route becomes a problem."""
    problem = _problem_of(exc)
    if problem.status_code >= 500:
        view = type(context.get("view")).__name__
        logger.error("route_failed", view=view, status=problem.status_code, exc_info=exc)
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return Response(
        body(problem), status=problem.status_code, headers=headers, content_type=CONTENT_TYPE
    )


def body(problem: Problem) -> dict[str, Any]:
    detail = _writable(str(problem.detail))
    return {
        "type": f"urn:relance:{problem.code}",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": detail,
        "errors": [
            {name: _writable(text) for name, text in asdict(error).items()}
            for error in problem.errors
        ],
        "success": False,
        "message": detail,
    }


def _writable(text: str) -> str:
    """A name that a caller made up may hold half a character, which no answer can."""
    return text.encode("utf-8", "backslashreplace").decode()


def _problem_of(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case exceptions.ValidationError():
            return Problem.of_fields(list(_flatten(exc.detail)) or [UNREADABLE])
        case ModelValidationError():
            return Problem.of_fields(
                [
                    FieldError(field if field != "__all__" else "", "invalid", message)
                    for field, messages in _model_messages(exc).items()
                    for message in messages
                ]
            )
        case exceptions.APIException():
            code, detail = _code_and_detail(exc)
            return Problem(exc.status_code, code, detail)
        case Http404():
            return Problem(404, "not_found", "There is no such thing here.")
        case PermissionDenied():
            return Problem(403, "permission_denied", "You may not do this.")
        case RequestDataTooBig():
            return Problem(413, "too_large", "The body is too large.")
        case UnreadablePostError():
            return Problem(400, "unreadable", "The body did not arrive completely.")
        case DatabaseError() | InterfaceError() if is_away(exc):
            return Problem(503, "unavailable", "The database does not answer. Try again shortly.")
        case _:
            return Problem(500, "internal", INTERNAL)


UNREADABLE = FieldError("", "invalid", "the body cannot be used")


def _flatten(detail: Any, path: str = "") -> Iterator[FieldError]:
    """DRF's nested errors as a flat list with paths."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            if key == "non_field_errors":
                yield from _flatten(value, path)
            elif isinstance(key, int):
                yield from _flatten(value, f"{path}[{key}]")
            else:
                yield from _flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            inner = isinstance(value, dict | list)
            yield from _flatten(value, f"{path}[{index}]" if inner else path)
    else:
        yield FieldError(path, getattr(detail, "code", "invalid"), str(detail))


def _model_messages(exc: ModelValidationError) -> dict[str, list[str]]:
    if hasattr(exc, "error_dict"):
        return exc.message_dict
    return {"": list(exc.messages)}


def _code_and_detail(exc: exceptions.APIException) -> tuple[str, str]:
    """simplejwt puts a dict into `detail`, with a code that says more than DRF's."""
    detail = exc.detail
    if isinstance(detail, dict):
        return str(detail.get("code", exc.default_code)), str(detail.get("detail", ""))
    codes = exc.get_codes()
    return (codes if isinstance(codes, str) else exc.default_code), str(detail)


# ------------------------------------------------------- errors before or outside of any route


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler404`: programs get a problem, people a page."""
    if request.path.startswith("/api/"):
        return _as_json(Problem(404, "not_found", "There is no such address."))
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler400`."""
    if request.path.startswith("/api/"):
        return _as_json(Problem(400, "invalid", "The call cannot be read."))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """`handler500`."""
    if request.path.startswith("/api/"):
        return _as_json(Problem(500, "internal", INTERNAL))
    return defaults.server_error(request)


def _as_json(problem: Problem) -> JsonResponse:
    return JsonResponse(body(problem), status=problem.status_code, content_type=CONTENT_TYPE)
