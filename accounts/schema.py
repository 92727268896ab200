"""How drf-spectacular describes keys and signed calls. Imported for its effect by routes.py."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


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
