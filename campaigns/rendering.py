"""Templates: ``{{name}}`` is substituted, nothing is ever evaluated.

One regular expression finds the variables; a value is data and is not looked at again, so a
referral whose name is ``{{link}}`` or ``=HYPERLINK("x")`` is written as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.utils.translation import gettext as _

from accounts.models import Tenant

VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
BUILT_IN = frozenset({"name", "referrer", "link"})
MAX_LENGTH = 4096  # characters; WhatsApp cuts longer texts


class TemplateError(ValueError):
    """What is wrong with a template and where; `field` is where the text came from."""


def names_for(tenant: Tenant) -> frozenset[str]:
    """Variables that templates of `tenant` may use."""
    return BUILT_IN | frozenset(tenant.variables)


def names_in(body: str) -> frozenset[str]:
    """Variables that `body` uses."""
    return frozenset(found[1] for found in VARIABLE.finditer(body))


def too_long(longest: int) -> str:
    return _("the text is longer than %d characters") % longest


def check(body: str, *, variables: frozenset[str] = BUILT_IN) -> None:
    """Raise `TemplateError` for an empty text, an unknown variable or braces that do not close."""
    if not body.strip():
        raise TemplateError(_("the text is empty"))
    if len(body) > MAX_LENGTH:
        raise TemplateError(too_long(MAX_LENGTH))
    for found in VARIABLE.finditer(body):
        if found[1] not in variables:
            known = ", ".join(sorted(variables))
            raise TemplateError(
                _("unknown variable {{%(name)s}}: use one of %(known)s")
                % {"name": found[1], "known": known}
            )
    rest = VARIABLE.sub("", body)
    for braces in ("{{", "}}"):
        at = rest.find(braces)
        if at >= 0:
            raise TemplateError(
                _("%(braces)s at “%(text)s” does not belong to a variable: write {{name}}")
                % {"braces": braces, "text": rest[max(0, at - 10) : at + 14]}
            )


def render(body: str, values: Mapping[str, str]) -> str:
    """`body` with its variables replaced. Raises `TemplateError` for one without a value."""
    try:
        return VARIABLE.sub(lambda found: values[found[1]], body)
    except KeyError as missing:
        raise TemplateError(_("no value for {{%s}}") % missing.args[0]) from None
