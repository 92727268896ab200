"""Every page of the admin opens, in few queries, and shows a company its own rows only."""

import datetime as dt
import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import api_keys
from accounts.activity import SYSTEM, Actor, Verb, record_for_user
from accounts.models import ServiceKey, User
from campaigns.models import Delivery, Payment, Recipient, Template
from tests import factories
from whatsapp import media
from whatsapp.models import (
    AgentRule,
    AgentSession,
    AgentTurn,
    Attempt,
    Chat,
    ChatAgent,
    ConsentEntry,
    Contact,
    Group,
    GroupMember,
    HealthSample,
    Incoming,
    Lease,
    Message,
    MessageReceipt,
    Usage,
)
from whatsapp.webhooks import endpoints
from whatsapp.webhooks.outgoing import emit

OURS = [
    model
    for app in ("accounts", "campaigns", "whatsapp")
    for model in apps.get_app_config(app).get_models()
    if admin.site.is_registered(model)
]
NAMES = [model._meta.label_lower for model in OURS]


def fill(tenant, *, rows=1):
    """`rows` of everything, and one campaign."""
    factories.make_user(tenant)
    campaign = factories.make_campaign(tenant)
    now = timezone.now()
    ServiceKey.issue(tenant=tenant, name=f"billing of {tenant.slug}")
    api_keys.issue(
        tenant=tenant, name=f"CRM of {tenant.slug}", role="agent", scopes=["messages:read"],
        actor=SYSTEM, now=now,
    )  # fmt: skip
    stored = media.store(tenant=tenant, data=b"some text", filename=f"{tenant.slug}.txt")
    Template.objects.filter(step__campaign=campaign, language="fr").update(media=stored)
    endpoints.create(
        tenant=tenant, name=f"CRM of {tenant.slug}", url=f"https://{tenant.slug}.example/",
        events=["message.sent"], now=now,
    )  # fmt: skip
    for n in range(rows):
        referrer = factories.make_referrer(tenant)
        referral = factories.make_referral(referrer, name=f"Zoé of {tenant.slug}")
        target = factories.make_target(referral, campaign=campaign)
        contact = Contact.objects.create(
            tenant=tenant, phone=referral.phone, name=f"Zoé of {tenant.slug}"
        )
        message = Message.objects.create(
            tenant=tenant, account=target.account, contact=contact, idempotency_key=f"k{n}",
            content_hash="h", body=f"Bonjour de {tenant.slug}", due_at=now, state="uncertain",
            sending_at=now, media=stored,
        )  # fmt: skip
        Attempt.objects.create(
            message=message, account=target.account, number=1, fence=1, worker="w", wa_id="x",
            usage_day=now.date(), intent_at=now,
        )  # fmt: skip
        Delivery.objects.create(
            target=target, step=campaign.steps.first(), number=1, language="fr", message=message
        )
        Incoming.objects.create(
            account=target.account, contact=contact, wa_id=f"w{n}", chat_id="c", kind="text",
            body=f"Merci de {tenant.slug}", sent_at=now, received_at=now,
        )  # fmt: skip
        fill_conversation(contact, target.account, message, n=n, now=now)
        fill_broadcast(contact, target.account, n=n, now=now)
        Usage.objects.create(account=target.account, day=now.date(), count=3)
        Lease.objects.update_or_create(
            account=target.account, defaults={"worker": "w1", "lease_until": now, "fence": 1}
        )
        Payment.objects.create(tenant=tenant, external_id=f"{tenant.slug}-{n}", paid_at=now)


def fill_conversation(contact, account, message, *, n, now):
    """A group, a chat and what a contact agreed to."""
    slug = account.tenant.slug
    HealthSample.objects.create(account=account, at=now, score=90, share=100)
    group = Group.objects.create(
        tenant=account.tenant, account=account, chat_id=f"{n}@g.us", subject=f"Group of {slug}",
        discovered_at=now, refreshed_at=now,
    )  # fmt: skip
    GroupMember.objects.create(group=group, contact=contact, seen_at=now)
    MessageReceipt.objects.create(message=message, participant=f"{n}@lid", contact=contact)
    chat = Chat.objects.create(
        tenant=account.tenant, account=account, contact=contact, started_at=now
    )
    fill_agent(chat, n=n, now=now)
    emit(
        tenant_id=account.tenant_id, event="message.sent", object_type="message",
        object_id=message.public_id, contact_id=contact.pk, data={"name": slug}, now=now,
    )  # fmt: skip
    ConsentEntry.objects.create(
        contact=contact, at=now, what="opted_in", how="import", note=f"note of {slug}",
        actor_name=f"owner of {slug}",
    )  # fmt: skip


def fill_agent(chat, *, n, now):
    slug = chat.tenant.slug
    agent = ChatAgent.objects.create(tenant=chat.tenant, name=f"Agent {n} of {slug}")
    AgentRule.objects.create(agent=agent, keywords=[f"price of {slug}"], answer=f"From {slug}")
    session = AgentSession.objects.create(chat=chat, agent=agent, started_at=now, last_at=now)
    incoming = Incoming.objects.filter(contact=chat.contact).latest("pk")
    AgentTurn.objects.create(
        incoming=incoming, chat=chat, agent=agent, session=session, created_at=now
    )


def fill_broadcast(contact, account, *, n, now):
    slug = account.tenant.slug
    broadcast = factories.make_broadcast(
        accounts=[account], name=f"Broadcast {n} of {slug}", texts={"fr": f"Bonjour de {slug}"}
    )
    Recipient.objects.create(broadcast=broadcast, contact=contact, account=account, due_at=now)


def list_of(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_of(row):
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_every_list_opens_in_few_queries_however_many_rows(
    operator, acme, model, django_assert_max_num_queries
):
    fill(acme, rows=12)

    with django_assert_max_num_queries(12):
        answer = operator.get(list_of(model))

    assert answer.status_code == 200


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_every_page_of_a_row_opens(operator, acme, model, django_assert_max_num_queries):
    fill(acme, rows=3)

    with django_assert_max_num_queries(40):
        answer = operator.get(page_of(model.objects.order_by("pk").first()))

    assert answer.status_code == 200


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_every_form_to_add_opens_or_is_refused(operator, acme, model):
    url = list_of(model) + "add/"

    assert operator.get(url).status_code in {200, 403}


@pytest.mark.parametrize("model", OURS, ids=NAMES)
def test_every_question_and_filter_of_every_list_can_be_asked(operator, acme, model):
    fill(acme)
    questions = [
        found.questions
        for found in admin.site.get_model_admin(model).list_filter
        if hasattr(found, "questions")
    ]

    for name in [*questions[0], "nonsense"] if questions else []:
        assert operator.get(list_of(model), {"show": name}).status_code == 200
    assert operator.get(list_of(model), {"q": "zoé'%\x00"}).status_code == 200


COMPANYS = [model for model in OURS if model._meta.model_name != "user"]


@pytest.mark.parametrize("model", COMPANYS, ids=[m._meta.label_lower for m in COMPANYS])
def test_staff_of_a_company_see_its_rows_and_no_others(manager, acme, rival, model):
    fill(acme)
    fill(rival)
    path = admin.site.get_model_admin(model).tenant_path
    ours = model.objects.filter(**{path: acme.pk}).first()
    theirs = model.objects.filter(**{path: rival.pk}).first()

    listed = manager.get(list_of(model))

    assert listed.status_code == 200
    assert set(listed.context["cl"].queryset) == set(model.objects.filter(**{path: acme.pk}))
    assert "rival" not in listed.content.decode().lower()
    assert manager.get(page_of(ours)).status_code == 200
    assert manager.get(page_of(theirs)).status_code == 302  # "it may have been deleted"
    assert "rival" not in manager.get(page_of(ours)).content.decode().lower()


@pytest.mark.parametrize("model", COMPANYS, ids=[m._meta.label_lower for m in COMPANYS])
def test_staff_of_a_company_are_shown_no_link_that_is_closed_to_them(manager, acme, model):
    fill(acme)
    owner = factories.make_user(acme, role="owner")
    record_for_user(
        owner,
        Verb.PASSWORD_CHANGED,
        actor=Actor("user", owner.username, owner.pk),
        now=timezone.now(),
    )
    path = admin.site.get_model_admin(model).tenant_path
    rows = model.objects.filter(**{path: acme.pk}).order_by("-pk")[:3]
    links = set()
    for page in (list_of(model), *(page_of(row) for row in rows)):
        links |= set(re.findall(r'href="(/admin/[^"?#]+/change/)', manager.get(page).text))

    for link in links:
        assert manager.get(link).status_code == 200, link


def test_a_members_last_log_in_is_a_time_that_people_read(manager, acme):
    at = dt.datetime(2026, 11, 20, 23, 21, 32, 730461, tzinfo=dt.UTC)
    member = factories.make_user(acme, last_login=at).memberships.get()

    for page in (list_of(type(member)), page_of(member)):
        shown = re.sub(r"\s+", " ", manager.get(page).text)
        assert "21 Nov 2026, 00:21" in shown, page
        assert "+00:00" not in shown, page


def test_staff_who_manage_no_company_and_people_who_are_no_staff_get_in_nowhere(acme):
    from tests.visitors import logged_in

    viewer = logged_in(factories.make_user(acme, role="viewer", is_staff=True))
    owner = logged_in(factories.make_user(acme, role="owner"))

    for model in OURS:
        assert viewer.get(list_of(model)).status_code == 403
        assert owner.get(list_of(model)).status_code == 302
        assert Client().get(list_of(model)).status_code == 302


def test_guessing_a_password_is_stopped_in_the_admin_as_in_the_api(db):
    User.objects.create_superuser("root", password="a long enough password")

    def log_in(password):
        return Client().post("/admin/login/", {"username": "root", "password": password})

    for n in range(10):
        assert "Too many attempts" not in log_in(f"guess {n}").content.decode()

    right = log_in("a long enough password")
    assert right.status_code == 200
    assert "Too many attempts" in right.content.decode()


def test_users_are_for_superusers(manager):
    assert manager.get("/admin/accounts/user/").status_code == 403


def test_staff_cannot_put_a_row_into_another_company(manager, acme, rival):
    answer = manager.post(
        "/admin/campaigns/campaign/add/",
        {
            "tenant": rival.pk, "name": "Intruder", "default_language": "fr",
            "first_delay": "01:00:00",
        },
    )  # fmt: skip

    assert answer.status_code == 200  # the form again, with its error
    assert "tenant" in answer.context["adminform"].form.errors
    assert not rival.campaigns.exists()


def test_a_company_an_account_and_a_followed_campaign_cannot_be_deleted(operator, acme):
    fill(acme)
    for row in (acme, acme.whatsapp_accounts.first(), acme.campaigns.first()):
        assert operator.get(page_of(row).replace("change", "delete")).status_code == 403


def test_the_secret_of_a_new_key_is_shown_once_and_works(operator, acme):
    shown = operator.post("/admin/accounts/servicekey/add/", {"tenant": acme.pk, "name": "billing"})

    key = ServiceKey.objects.get()
    secret = key.secret().decode()
    assert secret in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert secret not in str(shown.cookies)
    assert secret not in operator.get(page_of(key)).content.decode()


def test_todays_usage_is_of_the_companys_day(operator, acme):
    account = factories.make_account(acme, daily_limit=7)
    day = timezone.now().astimezone(acme.zone).date()
    Usage.objects.create(account=account, day=day - dt.timedelta(days=1), count=5)
    assert "0 / 7" in operator.get("/admin/whatsapp/account/").content.decode()

    Usage.objects.create(account=account, day=day, count=2)

    assert "2 / 7" in operator.get("/admin/whatsapp/account/").content.decode()


def test_staff_read_the_time_of_their_company(operator, manager, acme):
    registered = dt.datetime(2026, 11, 20, 22, 30, tzinfo=dt.UTC)
    factories.make_referral(factories.make_referrer(acme), registered_at=registered)

    def registration(client):
        page = client.get("/admin/campaigns/referral/").content.decode()
        return page.replace("\N{NO-BREAK SPACE}", " ")

    assert "20 Nov 2026, 23:30" in registration(manager)
    assert "20 Nov 2026, 22:30" in registration(operator)
