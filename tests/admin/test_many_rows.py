"""No page of the admin asks the database more than fifteen times, whatever there is."""

import pytest
from django.contrib.admin.sites import site
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Activity, Membership, User
from tests import factories
from tests.admin.test_pages import OURS, list_of, page_of
from tests.visitors import logged_in
from whatsapp.models import Account, Contact, Message

MOST = 15
ROWS = 1_200

# Each copies the one row that `fill` made; what must differ is numbered.
COPIES = """
INSERT INTO accounts_user (password, is_superuser, username, first_name, last_name, email,
                           is_staff, is_active, date_joined)
SELECT '', false, 'person-' || n, '', '', '', false, true, now() FROM generate_series(1, {rows}) n;
INSERT INTO accounts_membership (tenant_id, user_id, role)
SELECT {tenant}, id, 'viewer' FROM accounts_user WHERE username LIKE 'person-%';
INSERT INTO whatsapp_account (tenant_id, name, enabled, status, status_reason, phone, lid,
    push_name, platform, linked_at, notify_owner, created_at)
SELECT {tenant}, 'many-' || n, true, 'connected', '', '+3363998' || lpad(n::text, 4, '0'), '',
       '', '', now(), false, now() FROM generate_series(1, {rows}) n;
INSERT INTO whatsapp_lease (account_id, fence, worker, instance, host, boot_id, lease_until)
SELECT id, 1, 'w1', '', 'h', '', now() FROM whatsapp_account WHERE name LIKE 'many-%';
INSERT INTO whatsapp_usage (account_id, day, count)
SELECT id, current_date, 3 FROM whatsapp_account WHERE name LIKE 'many-%';
INSERT INTO whatsapp_contact (tenant_id, phone, lid, name, opt_out_reason, created_at)
SELECT {tenant}, '+3363998' || lpad(n::text, 4, '0'), '', 'Person ' || n, '', now()
FROM generate_series(1, {rows}) n;
INSERT INTO whatsapp_media (tenant_id, sha256, kind, mime, filename, size, file, source_url,
                            created_at)
SELECT {tenant}, n::text, 'image', 'image/png', n || '.png', 1, 'media/a.png', '', now()
FROM generate_series(1, {rows}) n;
INSERT INTO campaigns_referrer (tenant_id, external_id, name, account_id, subscribed,
                                enrolment_paused, created_at)
SELECT {tenant}, name, name, id, true, false, now() FROM whatsapp_account WHERE name LIKE 'many-%';
INSERT INTO campaigns_referral (tenant_id, external_id, referrer_id, name, phone, region, language,
    registered_at, enrolled_at, skipped_reason, created_at, updated_at)
SELECT {tenant}, external_id, id, 'Person', '+336399' || lpad(id::text, 5, '0'), 'FR', 'fr', now(),
       now(), '', now(), now() FROM campaigns_referrer WHERE external_id LIKE 'many-%';
INSERT INTO campaigns_target (tenant_id, campaign_id, referral_id, account_id, phone, state,
    exit_reason, hold, hold_detail, steps_done, slot_at, next_due_at, enrolled_at)
SELECT {tenant}, {campaign}, referral.id, referrer.account_id, referral.phone, 'active', '', '', '',
       1, now(), now(), now()
FROM campaigns_referral AS referral JOIN campaigns_referrer AS referrer
     ON referrer.id = referral.referrer_id WHERE referral.external_id LIKE 'many-%';
INSERT INTO campaigns_payment (tenant_id, external_id, paid_at, source)
SELECT {tenant}, 'many-' || n, now(), '' FROM generate_series(1, {rows}) n;
INSERT INTO whatsapp_message (public_id, tenant_id, account_id, contact_id, idempotency_key,
    content_hash, kind, body, media_id, priority, due_at, state, error_code, error, attempts_made,
    retries, ack, wa_id, chat_id, created_at, ended_at)
SELECT gen_random_uuid(), {tenant}, account.id, contact.id, 'target:' || target.id || ':step:1',
       'h', 'media', 'Bonjour', (SELECT max(id) FROM whatsapp_media), 0, now(), 'failed',
       'not_on_whatsapp', '', 1, 0, 0, '', '', now(), now()
FROM campaigns_target AS target JOIN whatsapp_account AS account ON account.id = target.account_id
JOIN whatsapp_contact AS contact ON contact.phone = account.phone;
INSERT INTO campaigns_delivery (target_id, number, language, message_id)
SELECT split_part(idempotency_key, ':', 2)::bigint, 1, 'fr', id FROM whatsapp_message
WHERE idempotency_key LIKE 'target:%';
INSERT INTO whatsapp_attempt (message_id, account_id, number, fence, worker, wa_id, usage_day,
                              intent_at, outcome, error_code, error)
SELECT id, account_id, 1, 1, 'w', '', current_date, now(), 'failed', '', '' FROM whatsapp_message;
INSERT INTO whatsapp_incoming (account_id, contact_id, wa_id, chat_id, phone, lid, name, kind, body,
                               sent_at, received_at)
SELECT account_id, contact_id, 'in' || id, 'c', '', '', '', 'chat', 'Merci', now(), now()
FROM whatsapp_message;
INSERT INTO accounts_servicekey (tenant_id, name, key_id, sealed_secret, active, created_at)
SELECT {tenant}, 'billing', 'rk_' || n, '', true, now() FROM generate_series(1, {rows}) n;
INSERT INTO accounts_apikey (tenant_id, name, key_id, digest, role, scopes, created_at)
SELECT {tenant}, 'CRM', 'rl_' || n, '', 'agent', '{{messages:read}}', now()
FROM generate_series(1, {rows}) n;
INSERT INTO accounts_activity (tenant_id, at, verb, actor_kind, actor_name, subject_type,
                               subject_id, subject_name, detail)
SELECT {tenant}, now(), 'sent', 'system', 'relance', 'whatsapp.message', id, 'message', '{{}}'
FROM whatsapp_message;
"""


@pytest.fixture(scope="module")
def many(django_db_setup, django_db_blocker):
    """A company with `ROWS` of everything, made once for this file and taken away after it."""
    from django.db import transaction

    with django_db_blocker.unblock():
        atomic = transaction.atomic()
        atomic.__enter__()
        tenant = factories.make_tenant("acme", name="Acme")
        campaign = factories.make_campaign(tenant)
        with connection.cursor() as cursor:
            cursor.execute(COPIES.format(rows=ROWS, tenant=tenant.pk, campaign=campaign.pk))
            cursor.execute("ANALYZE")
        yield tenant
        transaction.set_rollback(True)
        atomic.__exit__(None, None, None)


def queries_of(client, url):
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
    return answer, len(queries)


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["superuser", "manager"])
@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label_lower)
def test_no_page_asks_the_database_more_than_fifteen_times(many, model, who):
    if who == "superuser":
        client = logged_in(User.objects.create_superuser("operator"))
    else:
        client = logged_in(factories.make_user(many, role="manager", is_staff=True))
    rows = model.objects.all()
    pages = [list_of(model), list_of(model) + "?q=person", list_of(model) + "add/"]
    if rows.exists():
        pages.append(page_of(rows.order_by("-pk").first()))
    questions = [
        f.questions for f in site.get_model_admin(model).list_filter if hasattr(f, "questions")
    ]
    pages += [f"{list_of(model)}?show={name}" for asked in questions for name in asked]

    asked = {url: queries_of(client, url) for url in pages}

    assert {url: count for url, (_, count) in asked.items() if count > MOST} == {}
    assert {answer.status_code for answer, _ in asked.values()} <= {200, 403}


@pytest.mark.django_db
def test_the_home_asks_the_database_fifteen_times_at_most(many):
    client = logged_in(User.objects.create_superuser("operator"))

    answer, count = queries_of(client, "/admin/")

    assert (answer.status_code, count <= MOST) == (200, True), count


@pytest.mark.django_db
@pytest.mark.parametrize(
    "model", [Account, Message, Contact, Activity, Membership], ids=lambda m: m._meta.label_lower
)
def test_there_are_more_than_a_thousand_rows_to_ask_about(many, model):
    assert model.objects.count() > 1_000
