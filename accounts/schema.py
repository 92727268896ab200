"""How drf-spectacular describes the API: names, keys and signed calls, strict bodies, errors.

Imported for its effect by routes.py; settings name `Schema` and `describe`.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

COMPANY = OpenApiParameter(
    "X-Tenant", str, OpenApiParameter.HEADER, description="Which company, if you have several."
)
PROBLEM = {"$ref": "#/components/schemas/Problem"}
CONTENT_TYPE = "application/problem+json"
LARGEST_ID = 2**63 - 1


class Schema(AutoSchema):
    """Operations are called as their routes are: ``getAccount``, ``postAccountConnect``."""

    def get_operation_id(self) -> str:
        return self.method.lower() + type(self.view).__name__.removesuffix("View")

    def get_override_parameters(self) -> list[Any]:
        # A TenantRoute, told by what it declares: routes.py imports this module.
        chooses = hasattr(self.view, "scopes") and "{tenant}" not in self.path
        return [COMPANY] if chooses else []


class StrictBody(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Bodies refuse names they do not know (bodies.py), and say so."""

    target_class = "accounts.bodies.Body"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False} if schema else schema


def describe(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Every route's errors, in the one shape they have (problems.py); ids as they can be."""
    components = result["components"]
    components["schemas"]["Problem"] = _PROBLEM
    components["responses"] = {
        name: {"description": text, "content": {CONTENT_TYPE: {"schema": PROBLEM}}}
        for name, text in ERRORS.values()
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["schema"].get("type") == "integer":
                    parameter["schema"] |= {"minimum": 0, "maximum": LARGEST_ID}
            for status in _statuses(operation):
                name, _text = ERRORS[status]
                answer = {"$ref": f"#/components/responses/{name}"}
                operation["responses"].setdefault(status, answer)
    return result


def _statuses(operation: dict[str, Any]) -> list[str]:
    found = ["400"]
    if any(operation.get("security", [])):
        found += ["401", "403", "404"]
    if "requestBody" in operation:
        found += ["413", "415"]
    return [*found, "429", "503", "default"]


# Status -> name of the component, and what it says.
ERRORS = {
    "400": ("Invalid", "Something in the call is wrong: `errors` names the fields."),
    "401": ("Unauthorized", "Nobody has logged in, or the token, key or signature is not right."),
    "403": ("Forbidden", "Your role, or the key's scopes, do not allow this."),
    "404": ("NotFound", "There is no such thing in your company."),
    "413": ("TooLarge", "The body is too large."),
    "415": ("NoJson", "The body is not JSON."),
    "429": ("TooMany", "Too many calls: wait for as many seconds as `Retry-After` says."),
    "503": ("Unavailable", "Something we depend on is away: try again shortly."),
    "default": ("Error", "Any other error: 409 where the state of a thing does not allow it."),
}
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {**_TEXT, "example": "urn:relance:invalid"},
        "title": {**_TEXT, "example": "Bad Request"},
        "status": {"type": "integer", "example": 400},
        "detail": {**_TEXT, "example": "to: the phone number is too short"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {**_TEXT, "description": "Its path: `referrals[3].phone`."},
                    "code": {**_TEXT, "description": "A short word for programs."},
                    "message": _TEXT,
                },
                "required": ["field", "code", "message"],
            },
        },
        "success": {"type": "boolean", "enum": [False]},
        "message": {**_TEXT, "description": "As `detail`."},
    },
    "required": ["type", "title", "status", "detail", "errors", "success", "message"],
}


class ServiceSignature(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.signed.ServiceAuthentication"
    name = "serviceSignature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": (
                "`Relance-HMAC key=…, ts=…, nonce=…, signature=…`: HMAC-SHA256 over key id, "
                "time, nonce, method, path and body (see the reference of signed calls)."
            ),
        }


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.api_keys.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "rl_…",
            "description": "A key of your company, from `POST /api/v1/api-keys`.",
        }
