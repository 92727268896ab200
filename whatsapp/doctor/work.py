"""What has to go on all the time: settings that fit, archives that open, a clock, workers, mail."""

from __future__ import annotations

import datetime as dt
import smtplib
import stat
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from celery import current_app
from django.conf import settings
from django.core.files.storage import storages
from django.core.mail import get_connection
from django.db import Error as DatabaseError
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from accounts.models import ServiceKey, Tenant
from accounts.sealed import CannotUnseal, unseal
from whatsapp import archives as packed
from whatsapp.doctor.findings import Finding, fail, first_line, ok, warning
from whatsapp.doorbells import SHARED_QUEUE
from whatsapp.models import Account, Lease, Profile

SAMPLE = 5  # archives that are opened, newest first
PING_SECONDS = 3.0
QUEUES = {
    "default": "enrolment and planning",
    "outside": "chat agents, webhooks and mail",
    SHARED_QUEUE: "browsers",
}
# Beat writes the times of its runs down every 30 s (relance_project/scheduler.py).
BEAT_SILENT = dt.timedelta(seconds=120)
LOCAL = {"localhost", "127.0.0.1", "[::1]", "::1"}


def settings_are_sane() -> Iterator[Finding]:
    """Secrets (a start without good ones is refused), and what web browsers are told."""
    count = len(settings.WHATSAPP_SESSION_SECRETS)
    yield ok(f"secrets are set, long enough and differ; {count} for sealed data")
    env = settings.BASE_DIR / ".env"
    if env.exists() and stat.S_IMODE(env.stat().st_mode) & 0o077:
        yield warning(".env can be read by other users of this machine", f"chmod 600 {env}")
    yield from _hosts()


def _hosts() -> Iterator[Finding]:
    doubts = [*_names(), *_browsers()]
    yield from doubts
    if not doubts:
        served = [host for host in settings.ALLOWED_HOSTS if host not in LOCAL]
        where = f"over HTTPS as {', '.join(served)}" if served else "on this machine only"
        yield ok(f"it is served {where}")


def _names() -> Iterator[Finding]:
    hosts = settings.ALLOWED_HOSTS
    if not hosts:
        yield fail("ALLOWED_HOSTS is empty: every request is refused", "set the names it has")
    if "*" in hosts:
        yield warning("ALLOWED_HOSTS takes any name", "set the names this is served under")
    for host in set(hosts) - LOCAL:
        if "/" in host or (":" in host and not host.startswith("[")):
            yield fail(
                f"ALLOWED_HOSTS has {host!r}, which no request ever matches",
                "write names only, without https:// and port",
            )


def _browsers() -> Iterator[Finding]:
    if settings.DEBUG:
        yield warning("DEBUG is on: pages show code and settings", "set DEBUG=false")
    served = [host for host in settings.ALLOWED_HOSTS if host not in LOCAL]
    if served and not settings.HTTPS:
        yield warning(
            f"it is served as {served[0]} without HTTPS: passwords and cookies travel in the clear",
            "end TLS in a proxy in front and set HTTPS=true",
        )
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        if settings.HTTPS and urlsplit(origin).scheme != "https":
            yield fail(f"CSRF_TRUSTED_ORIGINS has {origin!r}", "write https:// in front of it")


def archives() -> Iterator[Finding]:
    """A sample of what was sealed with WHATSAPP_SESSION_SECRET opens with it."""
    try:
        saved = list(Profile.objects.exclude(file="").order_by("-saved_at")[:SAMPLE])
        keys = list(ServiceKey.objects.order_by("-pk")[:SAMPLE])
        peppers = list(Tenant.objects.exclude(sealed_pepper=b"").order_by("-pk")[:SAMPLE])
    except DatabaseError as error:
        yield warning(f"not looked at: {first_line(error)}", "mend the database first")
        return
    opened = older = 0
    for profile in saved:
        try:
            with storages["profiles"].open(profile.file) as file:
                data = file.read()
            packed.unseal(data, account_id=profile.account_id, generation=profile.generation)
        except (packed.BadArchive, OSError) as error:
            yield fail(
                f"the saved profile of account {profile.account_id} does not open: "
                f"{first_line(error)}",
                "put the secret that sealed it back into WHATSAPP_SESSION_SECRET, or the file back "
                "from a backup; else the account has to be linked again when it moves",
            )
            continue
        opened += 1
        older += packed.read_header(data).key_id != packed.current_key_id()
    for key in keys:
        try:
            key.secret()
            opened += 1
        except CannotUnseal as error:
            yield fail(
                f"service key {key.key_id} does not open: {first_line(error)}",
                "put the secret that sealed it back, or issue the key anew",
            )
    for tenant in peppers:
        try:
            unseal(bytes(tenant.sealed_pepper), purpose="pepper")
            opened += 1
        except CannotUnseal as error:
            yield fail(
                f"what the hashes of tenant {tenant.slug} rest on does not open: "
                f"{first_line(error)}",
                "put the secret that sealed it back: its API keys cannot be checked without",
            )
    if older:
        yield warning(
            f"{older} of {len(saved)} archives looked at are sealed with an older secret",
            "run manage.py rotate_profiles, then the older secret can be dropped",
        )
    if opened:
        yield ok(f"{opened} sealed things of a sample open")
    elif not (saved or keys or peppers):
        yield ok("nothing has been sealed yet")


def beat() -> Iterator[Finding]:
    """Beat runs, and every task it is to run is switched on."""
    planned = PeriodicTask.objects.filter(name__in=settings.CELERY_BEAT_SCHEDULE)
    try:
        missing = set(settings.CELERY_BEAT_SCHEDULE) - set(planned.values_list("name", flat=True))
        off = list(planned.filter(enabled=False).values_list("name", flat=True))
        runs = planned.filter(last_run_at__isnull=False).order_by("-last_run_at")
        last = runs.annotate(now=Now()).values_list("last_run_at", "now").first()
    except DatabaseError as error:
        yield warning(f"not looked at: {first_line(error)}", "mend the database first")
        return
    mend = "start it: celery -A relance_project beat (exactly one)"
    if last is None:
        yield fail("beat has run nothing here yet", f"{mend}; if you just did, give it 40 s")
        return
    silent = last[1] - last[0]
    if silent > BEAT_SILENT:
        yield fail(f"beat has run nothing for {_minutes(silent)}", mend)
    else:
        yield ok(f"beat ran something {silent.total_seconds():.0f} s ago")
    if missing or off:
        yield warning(
            f"not planned or switched off: {', '.join(sorted([*missing, *off]))}",
            "switch them on in the admin (periodic tasks), or start beat anew",
        )


def workers() -> Iterator[Finding]:
    """Somebody reads each queue, and every linked account has a worker with a heartbeat."""
    try:
        answered = current_app.control.broadcast("active_queues", reply=True, timeout=PING_SECONDS)
    except (OperationalError, RedisError, OSError) as error:
        yield warning(f"not asked: {first_line(error)}", "mend Redis first")
    else:
        nodes = Counter(node for reply in answered or [] for node in reply)
        for node in (node for node, count in nodes.items() if count > 1):
            yield fail(
                f"{nodes[node]} workers call themselves {node}",
                "give each a name of its own (-n): rings, drains and restarts go by it",
            )
        read = {
            queue["name"]: node
            for reply in answered or []
            for node, queues in reply.items()
            for queue in queues
        }
        for queue, what in QUEUES.items():
            if queue in read:
                yield ok(f"{read[queue]} reads the queue {queue}")
            else:
                yield fail(
                    f"no worker reads the queue {queue} ({what})",
                    f"start one: celery -A relance_project worker -Q {queue}; or have one read it "
                    "beside others (-Q default,outside), or undo its drain",
                )
    try:
        yield from _accounts_without_worker()
    except DatabaseError as error:
        yield warning(f"leases not looked at: {first_line(error)}", "mend the database first")


def _accounts_without_worker() -> Iterator[Finding]:
    driven = Lease.objects.filter(lease_until__gt=Now())
    alone = (
        Account.objects.filter(enabled=True, status__in=Account.LINKED_STATUSES)
        .exclude(pk__in=driven.values("account_id"))
        .select_related("tenant")
        .order_by("pk")
    )
    names = [str(account) for account in alone[:5]]
    if names:
        yield warning(
            f"{alone.count()} linked accounts have no worker, {', '.join(names)} among them",
            "celery -A relance_project sessions says why, ring asks for one; perhaps every "
            "worker is full (RELANCE_MAX_CONCURRENT_SESSIONS)",
        )
    else:
        yield ok(f"{driven.count()} accounts are driven, none waits for a worker")


def mail() -> Iterator[Finding]:
    """Owners can be told that their account needs them."""
    if not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        yield warning(
            "no mail leaves this machine: owners are not told when their account needs them",
            "set EMAIL_URL, as submission://user:password@host:587",
        )
        return
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    connection = get_connection()
    try:
        connection.open()
        connection.close()
    except (OSError, smtplib.SMTPException) as error:
        yield fail(
            f"the mail server {where} does not take us: {first_line(error)}", "see EMAIL_URL"
        )
    else:
        yield ok(f"the mail server {where} lets us in")


def _minutes(time: dt.timedelta) -> str:
    minutes = time.total_seconds() / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
