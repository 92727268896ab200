"""What `manage.py doctor` looks at: everything Relance rests on, and how to mend what fails.

A check is a function that yields findings. One that breaks is itself a finding, so that the others
are heard; no secret of the settings is ever repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from django.conf import settings

from whatsapp.doctor import machine, servers, work
from whatsapp.doctor.findings import Finding, fail

Check = Callable[[], Iterator[Finding]]

# In the order in which one would look oneself: what others rest on first.
CHECKS: dict[str, Check] = {
    "settings": work.settings_are_sane,
    "database": servers.database,
    "redis": servers.redis,
    "storage": machine.storage,
    "archives": work.archives,
    "chromium": machine.chromium,
    "wa-js": machine.wa_js,
    "time zones": machine.time_zones,
    "beat": work.beat,
    "workers": work.workers,
    "mail": work.mail,
}


def examine(names: list[str] | None = None) -> Iterator[tuple[str, Finding]]:
    """Run the checks of those names, or all; gives (name, finding) as they come."""
    for name, check in CHECKS.items():
        if names and name not in names:
            continue
        try:
            for finding in check():
                yield name, _without_secrets(finding)
        except Exception as error:  # noqa: BLE001 - a doctor who faints helps nobody
            said = f"could not be looked at: {type(error).__name__}: {error}".splitlines()[0]
            yield name, _without_secrets(fail(said, "mend what it says, then run doctor again"))


def _without_secrets(finding: Finding) -> Finding:
    said, mend = finding.said, finding.mend
    for secret in _secrets():
        said, mend = said.replace(secret, "***"), mend.replace(secret, "***")
    return Finding(finding.status, said, mend)


def _secrets() -> set[str]:
    """Everything in the settings that must not be printed, as it may turn up in an error."""
    known: set[str | None] = {
        settings.SECRET_KEY,
        settings.JWT_SIGNING_KEY,
        *settings.WHATSAPP_SESSION_SECRETS,
        settings.EMAIL_HOST_PASSWORD,
        settings.USER_SERVICE_SECRET,
        settings.LEGACY_SERVICE_SECRET,
    }
    for url in (settings.DATABASE_URL, settings.REDIS_URL):
        password = urlsplit(url).password or ""
        known |= {password, unquote(password)}
    return {secret for secret in known if secret and len(secret) > 3}
