"""Whom a segment means."""

import phonenumbers
import pytest

from campaigns import segments
from campaigns.models import Segment
from tests.factories import (
    NOW,
    make_account,
    make_broadcast,
    make_contact,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)
from whatsapp.models import Contact, Group, GroupMember

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def names(tenant, **rules):
    checked = segments.checked(rules, tenant=tenant)
    return sorted(segments.reachable(tenant, checked).values_list("name", flat=True))


def make_group(tenant, *members):
    group = Group.objects.create(
        tenant=tenant, account=make_account(tenant), chat_id=f"{tenant.pk}@g.us",
        discovered_at=NOW, refreshed_at=NOW,
    )  # fmt: skip
    for contact in members:
        GroupMember.objects.create(group=group, contact=contact, seen_at=NOW)
    return group


def test_a_segment_without_rules_is_everybody_of_the_company_who_may_be_written_to(tenant):
    make_contact(tenant, name="Amina")
    make_contact(tenant, name="stopped", opted_out_at=NOW)
    make_contact(tenant, name="scraped", source="group")
    make_contact(tenant, name="agreed", source="group", lawful_basis="consent", lawful_basis_at=NOW)
    make_contact(make_tenant(), name="of somebody else")

    assert names(tenant) == ["Amina", "agreed"]


def test_tags_are_asked_for_any_for_all_and_for_none(tenant):
    make_contact(tenant, name="a", tags=["vip"])
    make_contact(tenant, name="b", tags=["vip", "paris"])
    make_contact(tenant, name="c", tags=["paris", "partner"])
    make_contact(tenant, name="d")

    assert names(tenant, tagsAny=["vip", "partner"]) == ["a", "b", "c"]
    assert names(tenant, tagsAll=["vip", "paris"]) == ["b"]
    assert names(tenant, tagsNone=["vip"]) == ["c", "d"]
    assert names(tenant, tagsAny=["paris"], tagsNone=["partner"]) == ["b"]


def test_languages_personas_and_engagement(tenant):
    make_contact(tenant, name="a", language="fr", persona="parent", engagement=80)
    make_contact(tenant, name="b", language="en", persona="coach", engagement=20)
    make_contact(tenant, name="c", language="fr")

    assert names(tenant, languages=["fr"]) == ["a", "c"]
    assert names(tenant, personas=["coach", "parent"]) == ["a", "b"]
    assert names(tenant, engagementMin=50) == ["a"]
    assert names(tenant, engagementMax=50) == ["b"]  # nobody knows c's
    assert names(tenant, engagementMin=0, engagementMax=100) == ["a", "b"]


def test_a_region_is_the_country_of_the_number(tenant):
    for region, phone in {
        "FR": "+33639980001", "GB": "+447700900123", "US": "+12025550123", "CA": "+14165550123",
        "GG": "+447781555123", "RU": "+79161234567", "KZ": "+77011234567",
    }.items():  # fmt: skip
        make_contact(tenant, name=region, phone=phone)
    make_contact(tenant, name="only a LID", phone="", lid="123@lid")

    for region in ("FR", "GB", "US", "CA", "GG", "RU", "KZ"):
        assert names(tenant, regions=[region]) == [region]
    assert names(tenant, regions=["fr", "us"]) == ["FR", "US"]


def test_where_countries_share_a_calling_code_the_numbers_of_each_are_its_own(tenant):
    """As libphonenumber decides, asked with an example of a mobile number of each."""
    sharing = [
        region
        for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
        if len(regions) > 1
        for region in regions
        if region in phonenumbers.SUPPORTED_REGIONS
    ]
    expected = {}
    for region in sharing:
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if number is None:  # Tristan da Cunha has no mobiles
            continue
        phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        Contact.objects.get_or_create(tenant=tenant, phone=phone)
        expected.setdefault(phonenumbers.region_code_for_number(number), set()).add(phone)

    for region, phones in expected.items():
        rules = segments.checked({"regions": [region]}, tenant=tenant)
        found = segments.reachable(tenant, rules).values_list("phone", flat=True)
        assert set(found) == phones, region


def test_members_of_a_group_are_those_who_are_still_in_it(tenant):
    stays, left = make_contact(tenant, name="stays"), make_contact(tenant, name="left")
    make_contact(tenant, name="never there")
    group = make_group(tenant, stays, left)
    GroupMember.objects.filter(contact=left).update(left_at=NOW)

    assert names(tenant, groups=[group.pk]) == ["stays"]


def test_what_a_referral_has_come_to(tenant):
    referrer = make_referrer(tenant)
    people = {
        name: make_contact(tenant, name=name)
        for name in ("none", "waiting", "followed", "completed", "exited", "paid")
    }
    make_referral(referrer, phone=people["waiting"].phone)
    make_target(make_referral(referrer, phone=people["followed"].phone))
    make_target(make_referral(referrer, phone=people["completed"].phone), state="completed")
    make_target(
        make_referral(referrer, phone=people["exited"].phone), state="exited", exit_reason="by_hand"
    )
    make_referral(referrer, phone=people["paid"].phone, paid_at=NOW)

    for state in people:
        assert names(tenant, referral=[state]) == [state]
    assert names(tenant, referral=["none", "paid"]) == ["none", "paid"]


def test_a_preview_counts_and_names_some(tenant):
    for n in range(12):
        make_contact(tenant, name=f"n{n:02d}", tags=["vip"])
    make_contact(tenant, tags=["vip"], opted_out_at=NOW)
    make_contact(tenant, tags=["vip"], source="group")
    make_contact(tenant, tags=["vip"], source="group", opted_out_at=NOW)

    found = segments.preview(tenant, {"tagsAny": ["vip"]})

    assert (found.matching, found.reachable) == (15, 12)
    assert (found.opted_out, found.no_lawful_basis) == (2, 1)
    assert [contact.name for contact in found.sample][:2] == ["n11", "n10"]
    assert len(found.sample) == 10


@pytest.mark.parametrize(
    ("rules", "field", "code"),
    [
        ([], "rules", "invalid"),
        ({"tags": ["vip"]}, "tags", "unknown"),
        ({"tagsAny": "vip"}, "tagsAny", "invalid"),
        ({"tagsAny": [1]}, "tagsAny", "invalid"),
        ({"tagsAny": ["x" * 41]}, "tagsAny", "too_long"),
        ({"tagsAny": ["a\x00b"]}, "tagsAny", "too_long"),
        ({"tagsAny": [f"t{n}" for n in range(51)]}, "tagsAny", "too_many"),
        ({"regions": ["XX"]}, "regions", "unknown"),
        ({"referral": ["rich"]}, "referral", "unknown"),
        ({"engagementMin": 101}, "engagementMin", "out_of_range"),
        ({"engagementMin": True}, "engagementMin", "out_of_range"),
        ({"engagementMin": 60, "engagementMax": 40}, "engagementMax", "invalid"),
        ({"groups": ["7"]}, "groups", "invalid"),
        ({"groups": [2**63]}, "groups", "invalid"),
        ({"groups": [7]}, "groups", "unknown"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_name(tenant, rules, field, code):
    with pytest.raises(segments.BadRules) as refused:
        segments.checked(rules, tenant=tenant)
    assert (refused.value.field, refused.value.code) == (field, code)


def test_groups_of_another_company_are_unknown(tenant):
    group = make_group(make_tenant())
    with pytest.raises(segments.BadRules, match="no such group"):
        segments.checked({"groups": [group.pk]}, tenant=tenant)


def test_what_asks_nothing_is_not_stored(tenant):
    raw = {
        "tagsAny": ["vip", " vip ", ""],
        "regions": ["fr"],
        "tagsNone": [],
        "engagementMin": None,
    }
    assert segments.checked(raw, tenant=tenant) == {"tagsAny": ["vip"], "regions": ["FR"]}


def test_a_name_is_taken_once_and_a_segment_in_use_stays(tenant):
    segment = segments.create(tenant=tenant, name="VIP", rules={"tagsAny": ["vip"]}, now=NOW)
    with pytest.raises(segments.NameTaken):
        segments.create(tenant=tenant, name="VIP", rules={}, now=NOW)
    broadcast = make_broadcast(tenant, segment=segment)

    assert not segments.remove(segment, now=NOW)
    broadcast.delete()
    assert segments.remove(segment, now=NOW)
    assert not Segment.objects.filter(name="VIP").exists()
