"""`/api/v1/referrals`, `/targets` and `/stats`: who is followed, and how it goes."""

import json

import pytest
from rest_framework.test import APIClient

from accounts.models import Activity
from accounts.signed import sign_request
from campaigns import planning
from campaigns.models import Payment, Referral, Target
from tests import companies
from tests.factories import (
    NOW,
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
)
from whatsapp.models import Message

ROW = {
    "externalId": "ref-1",
    "referrer": "amina",
    "name": "Zoé Martin",
    "phone": "06 39 98 01 00",
    "language": "fr",
    "registeredAt": "2026-11-18T08:00:00+00:00",
}


@pytest.fixture
def referrer(acme):
    return make_referrer(
        acme.tenant,
        external_id="amina",
        account=make_account(acme.tenant, name="amina", owner=acme.people["amina"]),
    )


@pytest.fixture
def target(acme, referrer):
    make_campaign(acme.tenant, days=3)
    return make_target(make_referral(referrer, external_id="ref-1"))


def push(client, *rows):
    return client.post("/api/v1/referrals", {"referrals": list(rows)}, format="json")


# -------------------------------------------------------------------------------- referrals


def test_each_row_gets_its_own_result_and_good_ones_are_taken(acme, max_, referrer):
    answer = push(
        max_, ROW, ROW | {"externalId": "ref-2", "referrer": "nobody"}, ROW | {"name": "Zoé M."}
    )

    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert [(r["row"], r["externalId"], r["result"]) for r in body["results"]] == [
        (0, "ref-1", "created"), (1, "ref-2", "refused"), (2, "ref-1", "updated"),
    ]  # fmt: skip
    assert (body["created"], body["updated"], body["refused"]) == (1, 1, 1)
    (finding,) = body["results"][1]["findings"]
    assert (finding["field"], finding["level"], finding["code"]) == ("referrer", "error", "unknown")
    assert "“nobody”" in finding["message"]
    stored = Referral.objects.get()
    assert (stored.name, stored.phone) == ("Zoé M.", "+33639980100")
    assert Activity.objects.filter(verb="referrals_imported", actor_name="max").exists()


def test_the_same_push_again_changes_nothing_and_says_so(acme, max_, referrer):
    push(max_, ROW)
    before = Referral.objects.values().get()

    assert push(max_, ROW).json()["results"][0]["result"] == "unchanged"
    assert Referral.objects.values().get() == before


def test_a_push_names_our_fields_in_the_callers_words(acme, max_, referrer):
    (result,) = push(max_, ROW | {"registeredAt": "yesterday"}).json()["results"]

    assert result["findings"][0]["field"] == "registeredAt"
    assert not Referral.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "referrals"),
        ({"referrals": []}, "referrals"),
        ({"referrals": {}}, "referrals"),
        ({"referrals": [ROW, ROW | {"phone": 5.5}, 7]}, "referrals[2]"),
        ({"referrals": [ROW | {"name": "a\x00"}]}, "referrals[0].name"),
        ({"referrals": [ROW | {"phone": ["x"]}]}, "referrals[0].phone"),
        ({"referrals": [ROW | {"fone": "x"}]}, "referrals[0].fone"),
        ({"referrals": [ROW] * 1001}, "referrals"),
    ],
)
def test_a_push_of_the_wrong_shape_is_refused_as_a_whole(acme, max_, referrer, body, field):
    answer = max_.post("/api/v1/referrals", body, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
    assert not Referral.objects.exists()


def test_a_thousand_rows_fit_into_one_call(acme, max_, referrer):
    rows = [
        ROW | {"externalId": f"ref-{n}", "phone": f"+3363998{n:04d}", "name": "é" * 40}
        for n in range(1000)
    ]

    assert push(max_, *rows).json()["created"] == 1000


def test_another_system_pushes_with_a_signature(acme, other, referrer):
    key, secret = companies.issue_key(acme, "crm")
    path = "/api/v1/internal/referrals"
    body = json.dumps({"referrals": [ROW, ROW | {"externalId": "r2", "paidAt": "x"}]}).encode()

    def call(**changes):
        headers = sign_request(
            key_id=key.key_id, secret=secret, method="POST", path=path, body=body
        )
        return APIClient().post(
            path, changes.get("body", body), content_type="application/json", headers=headers
        )

    answer = call()

    assert [row["result"] for row in answer.json()["results"]] == ["created", "refused"]
    assert Activity.objects.get(verb="referrals_imported").actor_name == "crm"
    assert call(body=body + b" ").status_code == 401
    assert APIClient().post(path, body, content_type="application/json").status_code == 401


def test_a_row_that_says_paid_ends_what_runs(acme, max_, target):
    answer = push(
        max_,
        ROW | {"phone": target.phone, "paidAt": "2026-11-19T08:00:00+00:00"},
    )

    assert answer.json()["results"][0]["result"] == "updated"
    target.refresh_from_db()
    assert (target.state, Payment.objects.count()) == ("exited", 1)


def test_referrals_are_found_by_what_people_know(acme, max_, referrer, target):
    late = make_referral(referrer, external_id="ref-2", paid_at=NOW)

    def ask(**query):
        found = max_.get("/api/v1/referrals", query).json()["results"]
        return [row["externalId"] for row in found]

    assert ask() == ["ref-2", "ref-1"]
    assert ask(externalId="ref-1") == ask(paid="false") == ask(enrolled="true") == ["ref-1"]
    assert ask(phone=late.phone) == ask(paid="true") == ask(enrolled="false") == ["ref-2"]
    assert ask(referrer="nobody") == []
    assert max_.get(f"/api/v1/referrals/{late.pk}").json()["externalId"] == "ref-2"


def test_agents_see_their_own_referrals_and_import_none(acme, referrer, target):
    bruno = make_referrer(acme.tenant, external_id="bruno")
    foreign = make_referral(bruno, external_id="ref-9")
    amina = companies.client(acme.people["amina"])

    found = amina.get("/api/v1/referrals").json()["results"]
    assert [row["externalId"] for row in found] == ["ref-1"]
    assert amina.get(f"/api/v1/referrals/{foreign.pk}").status_code == 404
    assert push(amina, ROW).status_code == 403


# ---------------------------------------------------------------------------------- targets


def test_a_target_says_where_it_stands_why_and_what_comes(acme, max_, target):
    planning.plan(now=NOW)

    body = max_.get(f"/api/v1/targets/{target.pk}").json()

    assert (body["referral"], body["referrer"], body["state"]) == ("ref-1", "amina", "active")
    assert body["openMessage"] == str(Message.objects.get().public_id)
    assert body["why"]
    assert [entry["kind"] for entry in body["timeline"]][:2] == ["registered", "enrolled"]
    assert [coming["step"] for coming in body["coming"]][-1] == 3


def test_one_is_paused_resumed_and_taken_out(acme, max_, target):
    address = f"/api/v1/targets/{target.pk}"

    assert max_.post(f"{address}/pause").json()["pausedAt"] is not None
    assert max_.post(f"{address}/pause").status_code == 200
    assert max_.post(f"{address}/resume").json()["pausedAt"] is None
    gone = max_.post(f"{address}/exit").json()
    assert (gone["state"], gone["exitReason"]) == ("exited", "by_hand")
    verbs = Activity.objects.filter(actor_name="max").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["target_paused", "target_resumed", "exited"]


def test_many_are_paused_resumed_and_taken_out_at_once(acme, max_, referrer, target):
    second = make_target(make_referral(referrer))
    ids = {"ids": [target.pk, second.pk]}

    def post(verb):
        return max_.post(f"/api/v1/targets/{verb}", ids, format="json").json()

    assert (post("pause"), post("pause")) == ({"changed": 2}, {"changed": 0})
    assert len(max_.get("/api/v1/targets?paused=true").json()["results"]) == 2
    assert post("resume") == {"changed": 2}
    assert post("exit") == {"exited": 2, "messagesCancelled": 0, "inFlight": 0}


def test_one_foreign_id_among_many_stops_all_of_them(acme, other, max_, target):
    make_campaign(other.tenant)
    foreign = make_target(make_referral(make_referrer(other.tenant)))

    for verb in ("pause", "resume", "exit"):
        answer = max_.post(
            f"/api/v1/targets/{verb}", {"ids": [target.pk, foreign.pk]}, format="json"
        )
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {
                "field": "ids[1]",
                "code": "unknown",
                "message": f"you have no target {foreign.pk}",
            }
        ]
    assert set(Target.objects.values_list("state", "paused_at")) == {("active", None)}


@pytest.mark.parametrize(
    ("ids", "field"),
    [([], "ids"), ("x", "ids"), ([0], "ids[0]"), (["x"], "ids[0]"), ([10**30], "ids[0]"),
     ([1] * 1001, "ids"), (None, "ids")],
)  # fmt: skip
def test_ids_that_are_none_are_refused(acme, max_, ids, field):
    answer = max_.post("/api/v1/targets/pause", {"ids": ids}, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_targets_are_found_by_state_hold_and_whether_they_are_due(acme, max_, referrer, target):
    done = make_target(make_referral(referrer), state="completed")
    held = make_target(make_referral(referrer), hold="template")

    def ask(**query):
        return [row["id"] for row in max_.get("/api/v1/targets", query).json()["results"]]

    assert ask(state="completed") == [done.pk]
    assert ask(hold="template") == [held.pk]
    assert ask(due="true") == [held.pk, target.pk]
    assert ask(due="false") == [done.pk]
    assert ask(referral="ref-1", account=target.account_id) == [target.pk]


# ------------------------------------------------------------------------------------ stats


def test_stats_count_the_company_of_the_caller(acme, other, max_, target):
    make_campaign(other.tenant)
    make_target(make_referral(make_referrer(other.tenant)))
    planning.plan(now=NOW)
    Message.objects.filter(tenant=acme.tenant).update(state="read", sent_at=NOW, read_at=NOW)
    period = {"since": "2026-11-20T00:00:00Z", "until": "2026-11-21T00:00:00Z"}

    messages = max_.get("/api/v1/stats/messages", period).json()
    funnel = max_.get("/api/v1/stats/funnel", period).json()

    assert sum(day["sent"] for day in messages) == sum(day["read"] for day in messages) == 1
    assert (funnel["enrolled"], funnel["active"]) == (1, 1)
    assert max_.get("/api/v1/stats/accounts").json()["byStatus"]["connected"] == 1
    assert max_.get("/api/v1/stats/usage").json()["accounts"] == 1
    assert max_.get("/api/v1/stats/failures").json() == {"total": 0, "byCode": {}}
    assert max_.get("/api/v1/stats/open").json()["uncertain"] == 0


@pytest.mark.parametrize(
    "query",
    ["since=x", "until=9999-12-31T23:59:59Z", "since=0001-01-01T00:00:00%2B14:00",
     "since=2020-01-01T00:00:00Z", "since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z"],
)  # fmt: skip
def test_a_period_that_makes_no_sense_is_refused(acme, max_, query):
    for name in ("messages", "funnel", "failures"):
        answer = max_.get(f"/api/v1/stats/{name}?{query}")
        assert answer.status_code == 400, answer.json()
        assert answer.json()["errors"][0]["field"] in {"since", "until"}
