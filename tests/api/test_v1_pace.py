"""`/api/v1/accounts/…/pace`, `health` and `holds`."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Activity
from tests import companies
from whatsapp.models import Account, HealthSample

URL = "/api/v1/accounts"


def test_the_pace_is_read_and_changed_piece_by_piece(acme, max_, account, settings):
    settings.WHATSAPP_JITTER_MS, settings.WHATSAPP_QUIET_HOURS = 2000, "21:00-08:00"
    address = f"{URL}/{account.pk}/pace"
    assert max_.get(address).json()["effective"]["quietHours"] == "21:00-08:00"

    answer = max_.patch(address, {"quietHours": "off", "newChatsPerDay": 5}, format="json")

    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["quietHours"], body["newChatsPerDay"], body["gapJitterMs"]) == ("off", 5, None)
    assert body["effective"]["gapJitterMs"] == 2000
    assert max_.get(f"{URL}/{account.pk}").json()["pace"]["newChatsPerDay"] == 5
    line = Activity.objects.get(verb="limits_changed")
    assert line.detail["after"] == {"quiet_hours": "off", "new_chats_per_day": 5}

    back = max_.patch(address, {"quietHours": None}, format="json").json()
    assert (back["quietHours"], back["effective"]["quietHours"]) == (None, "21:00-08:00")
    assert back["newChatsPerDay"] == 5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"gapJitterMs": -1}, "gapJitterMs"),
        ({"gapJitterMs": 600_001}, "gapJitterMs"),
        ({"typingMs": "long"}, "typingMs"),
        ({"quietHours": "08:00-08:00"}, "quietHours"),
        ({"quietHours": "25:00-08:00"}, "quietHours"),
        ({"quietHours": ""}, "quietHours"),
        ({"newChatsPerDay": -1}, "newChatsPerDay"),
        ({"newChatsPerDay": 10_001}, "newChatsPerDay"),
        ({"warmUpDays": 366}, "warmUpDays"),
        ({"pace": "slow"}, "pace"),
        ({}, ""),
    ],
)
def test_a_pace_that_makes_no_sense_changes_nothing_and_names_the_field(
    acme, max_, account, body, field
):
    answer = max_.patch(f"{URL}/{account.pk}/pace", body, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
    assert not Activity.objects.filter(verb="limits_changed").exists()


def test_an_agent_may_look_at_the_pace_and_not_change_it(acme, account):
    amina = companies.client(acme.people["amina"])
    assert amina.get(f"{URL}/{account.pk}/pace").status_code == 200
    assert amina.patch(f"{URL}/{account.pk}/pace", {}, format="json").status_code == 403
    assert amina.delete(f"{URL}/{account.pk}/holds").status_code == 403


def test_health_tells_its_score_holds_and_history(acme, max_, account):
    now = timezone.now()
    Account.objects.update(
        health_score=52, health_share=0, health_share_at=now, health_reason="delivery",
        cold_held_until=now + timedelta(hours=20),
    )  # fmt: skip
    HealthSample.objects.create(account=account, at=now - timedelta(hours=1), score=90, share=100)
    HealthSample.objects.create(account=account, at=now, score=52, share=0)
    HealthSample.objects.create(account=account, at=now - timedelta(days=8), score=1, share=0)

    body = max_.get(f"{URL}/{account.pk}/health").json()

    assert (body["score"], body["share"]) == (52, 0)
    assert body["reason"] == "many messages do not reach a phone"
    assert [hold["code"] for hold in body["holds"]] == ["health", "cold_chats"]
    assert [sample["score"] for sample in body["history"]] == [90, 52]
    assert set(body["penalties"].values()) == {0}
    assert max_.get(f"{URL}/{account.pk}/health?days=91").status_code == 400


def test_holds_are_lifted_once(acme, max_, account):
    Account.objects.update(health_share=25, health_share_at=timezone.now())
    address = f"{URL}/{account.pk}/holds"
    assert max_.delete(address).json() == {"lifted": True}
    assert max_.delete(address).json() == {"lifted": False}
    assert Activity.objects.get(verb="holds_lifted").actor_name == "max"
