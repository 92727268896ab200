"""Every page of the admin on a company with 100,000 people who are followed.

    python -m bench.admin [--rows 100000] [--times 20] [--only target]

Lists with each of their questions, a search, a page of a row, the home page, the pages of a
campaign: as a superuser, and as somebody who manages that one company. Goals: 15 queries, 300 ms.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator

from bench import scratch  # first: sets Django up
from bench.figures import seconds
from bench.planning import fill
from bench.scratch import run

# isort: split
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, Tenant, User
from campaigns.models import Campaign, Referral, Step, Target, Template

QUERIES = 15
MILLISECONDS = 300.0
OURS = ("accounts", "campaigns", "whatsapp")

# One message for everybody, in every state; what comes of it; and some more of everything.
MORE = [
    """
    INSERT INTO whatsapp_message
        (public_id, tenant_id, account_id, contact_id, idempotency_key, content_hash, kind, body,
         priority, due_at, state, error_code, error, attempts_made, retries, ack, wa_id, chat_id,
         created_at, sent_at, ended_at, sending_at, fence, not_after)
    SELECT gen_random_uuid(), t.tenant_id, t.account_id, c.id, 'target:' || t.id || ':step:1', 'h',
           'text', 'Bonjour Zoé', 0, at, fate, CASE fate WHEN 'failed' THEN 'x' ELSE '' END, '',
           1, 0, 0, 'wa-' || t.id, '', at, at,
           CASE WHEN fate IN ('failed', 'cancelled') THEN at END, at, 1, at
    FROM (SELECT *, now() - random() * interval '30 days' AS at,
                 (ARRAY['sent', 'delivered', 'read', 'read', 'read', 'failed', 'cancelled',
                        'uncertain', 'queued', 'sending'])[1 + least(9,
                    floor(random() * CASE WHEN id %% 20 = 0 THEN 10 ELSE 5 END))::int] AS fate
          FROM campaigns_target) AS t
    JOIN whatsapp_contact AS c ON c.tenant_id = t.tenant_id AND c.phone = t.phone
    """,
    """
    INSERT INTO campaigns_delivery (target_id, step_id, number, language, message_id)
    SELECT split_part(m.idempotency_key, ':', 2)::bigint, s.id, 1, 'fr', m.id
    FROM whatsapp_message AS m, (SELECT min(id) AS id FROM campaigns_step) AS s
    """,
    """
    INSERT INTO whatsapp_attempt (message_id, account_id, number, fence, worker, wa_id, usage_day,
        intent_at, outcome, error_code, error)
    SELECT id, account_id, 1, 1, 'w', wa_id, sending_at::date, sending_at, 'sent', '', ''
    FROM whatsapp_message WHERE state <> 'queued'
    """,
    """
    UPDATE campaigns_target AS t SET steps_done = 1, last_sent_at = m.sent_at
    FROM campaigns_delivery AS d JOIN whatsapp_message AS m ON m.id = d.message_id
    WHERE d.target_id = t.id AND m.state NOT IN ('queued', 'sending')
    """,
    """
    UPDATE campaigns_target AS t SET open_message_id = m.id
    FROM campaigns_delivery AS d JOIN whatsapp_message AS m ON m.id = d.message_id
    WHERE d.target_id = t.id AND m.state IN ('queued', 'sending')
    """,
    """
    UPDATE campaigns_target SET state = 'completed', ended_at = now(), next_due_at = NULL
    WHERE id %% 5 = 0 AND open_message_id IS NULL
    """,
    """
    UPDATE campaigns_target SET state = 'exited', exit_reason = 'paid', ended_at = now(),
        next_due_at = NULL WHERE id %% 7 = 0 AND state = 'active' AND open_message_id IS NULL
    """,
    """
    UPDATE campaigns_target SET hold = (ARRAY['subscription', 'template', 'uncertain'])[1 + id %% 3]
    WHERE id %% 40 = 1 AND state = 'active' AND open_message_id IS NULL
    """,
    "UPDATE campaigns_target SET paused_at = now() WHERE id %% 90 = 2 AND state = 'active'",
    """
    INSERT INTO whatsapp_incoming (account_id, contact_id, wa_id, chat_id, phone, lid, name, kind,
        body, sent_at, received_at)
    SELECT account_id, contact_id, 'in-' || id, 'c', '', '', '', 'chat', 'Merci', now(), now()
    FROM whatsapp_message WHERE id %% 3 = 0
    """,
    """
    INSERT INTO campaigns_payment (tenant_id, external_id, paid_at, source)
    SELECT tenant_id, external_id, now(), 'bench' FROM campaigns_referral WHERE id %% 7 = 0
    """,
    """
    INSERT INTO whatsapp_usage (account_id, day, count)
    SELECT a.id, (now() - d * interval '1 day')::date, 50
    FROM whatsapp_account AS a, generate_series(0, 20) AS d
    """,
    """
    INSERT INTO accounts_activity (tenant_id, at, verb, actor_kind, actor_name, subject_type,
        subject_id, subject_name, detail)
    SELECT tenant_id, enrolled_at, 'sent', 'system', 'relance', 'campaigns.target', id, '', '{}'
    FROM campaigns_target
    """,
    "VACUUM ANALYZE",
]


def people() -> dict[str, Client]:
    tenant = Tenant.objects.get()
    Membership.objects.create(
        tenant=tenant,
        user=User.objects.create_user("manager", is_staff=True),
        role=Membership.Role.MANAGER,
    )
    User.objects.create_superuser("superuser")
    clients = {}
    for name in ("superuser", "manager"):
        clients[name] = Client(SERVER_NAME="127.0.0.1")
        clients[name].force_login(User.objects.get(username=name))
    return clients


def week(campaign: Campaign) -> None:
    """Seven days in two languages."""
    for number in range(1, 8):
        step, _created = Step.objects.get_or_create(campaign=campaign, number=number)
        for language in ("fr", "en"):
            Template.objects.get_or_create(
                step=step, language=language, defaults={"body": "Bonjour {{name}} {{referrer}}"}
            )


def addresses() -> Iterator[str]:
    """The pages that people open, as paths."""
    yield reverse("admin:index")
    for model, model_admin in admin.site._registry.items():
        meta = model._meta
        if meta.app_label not in OURS:
            continue
        listed = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        yield listed
        for choice in model_admin.list_filter:
            for question in getattr(choice, "questions", ()):
                yield f"{listed}?show={question}"
        if model_admin.search_fields:
            yield f"{listed}?q=Zoé"
            yield f"{listed}?q=%2B999000"
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            yield reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    busy = Target.objects.exclude(open_message=None).order_by("pk").first()
    yield reverse("admin:campaigns_target_change", args=[busy.pk])
    campaign = Campaign.objects.get()
    someone = Referral.objects.order_by("pk").first()
    for page in ("write_texts", "rehearse", "activate", "deactivate"):
        address = reverse(f"admin:campaigns_campaign_{page}", args=[campaign.pk])
        yield (
            f"{address}?referral={someone.external_id}"
            if page in {"write_texts", "rehearse"}
            else address
        )
    yield reverse("admin:campaigns_campaign_people", args=[campaign.pk]) + "?referral=Zo"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", help="pages whose address holds this")
    parser.add_argument("--slow", type=float, metavar="MS", help="show statements slower than this")
    options = parser.parse_args(arguments)
    met = []
    with scratch.database():
        fill(options.rows)
        for statement in MORE:
            run(statement, {})
        week(Campaign.objects.get())
        ContentType.objects.clear_cache()
        print(f"{Target.objects.count()} targets, {timezone.now():%Y-%m-%d %H:%M} UTC")
        pages = [address for address in addresses() if options.only in address]
        for name, client in people().items():
            met += [measure(client, name, address, options) for address in pages]
    print(f"{sum(met)} of {len(met)} pages within {QUERIES} queries and {MILLISECONDS:.0f} ms")
    return 0 if all(met) else 1


def measure(client: Client, name: str, address: str, options: argparse.Namespace) -> bool:
    """Open a page; print its queries and the 95th percentile of its times beside the goals."""
    if client.get(address).status_code == 403:  # read once per process, too
        return True
    with CaptureQueriesContext(connection) as context:
        status = client.get(address).status_code
    asked = list(context.captured_queries)  # now: the next request empties the log
    queries = len(asked)
    took = sorted(seconds(lambda: client.get(address)) * 1000 for _ in range(options.times))
    p95 = took[math.ceil(0.95 * options.times) - 1]
    good = queries <= QUERIES and p95 <= MILLISECONDS and status == 200
    print(
        f"{'ok  ' if good else 'MISS'} {name:<10} {address:<62} {status} {queries:3d} queries "
        f"goal {QUERIES}  p95 {p95:6.0f} ms goal {MILLISECONDS:.0f}  best {took[0]:6.0f}"
    )
    for query in asked:
        if options.slow is not None and float(query["time"]) * 1000 >= options.slow:
            print(f"     {float(query['time']) * 1000:.0f} ms  {query['sql'][:3000]}")
    sys.stdout.flush()
    return good


if __name__ == "__main__":
    sys.exit(main())
