"""Contacts come in as rows and go out as CSV: every bad row is said with its reason."""

import csv
import io

import pytest

from accounts.activity import Actor, Verb
from accounts.exports import stream_csv
from accounts.models import Activity
from accounts.tables import BadFile
from tests.factories import NOW, make_tenant
from whatsapp import contact_files, contacts, suppression
from whatsapp.contact_files import ContactTable, Row
from whatsapp.models import ConsentEntry, Contact

OLGA = Actor("user", "olga")
ZOE = "+33639980100"


def take(tenant, *rows, **more):
    lines = []
    given = [Row(row=number, **row) for number, row in enumerate(rows, start=2)]
    report = contact_files.import_rows(
        tenant, given, now=NOW, told=lines.append, actor=OLGA, **more
    )
    return report, lines


FULL = {
    "phone": "06 39 98 01 00", "name": "Zoé Martin", "language": "FR", "persona": "young parent",
    "tags": "VIP, lyon", "lawful_basis": "Consent", "basis_note": "signed at the fair",
}  # fmt: skip


def test_a_row_becomes_a_contact_with_its_basis_in_the_ledger(tenant):
    report, (line,) = take(tenant, FULL)

    zoe = Contact.objects.get()
    assert (line.outcome, report.created) == ("created", 1)
    assert (zoe.phone, zoe.name, zoe.language, zoe.persona, zoe.tags, zoe.source) == (
        ZOE, "Zoé Martin", "fr", "young parent", ["vip", "lyon"], "import",
    )  # fmt: skip
    assert (zoe.lawful_basis, zoe.lawful_basis_by, zoe.lawful_basis_at) == ("consent", "olga", NOW)
    assert ConsentEntry.objects.get().how == "import"
    line = Activity.objects.get(verb=Verb.CONTACTS_IMPORTED)
    assert line.detail == {"source": "import", "created": 1, "updated": 0, "refused": 0}


def test_the_same_file_again_changes_nothing(tenant):
    take(tenant, FULL)
    before = list(Contact.objects.values())

    report, _lines = take(tenant, FULL)

    assert (report.unchanged, report.updated) == (1, 0)
    assert list(Contact.objects.values()) == before
    assert ConsentEntry.objects.count() == 1


def test_what_a_row_says_differently_is_taken_over_and_said(tenant):
    take(tenant, FULL)

    report, (line,) = take(tenant, {"phone": ZOE, "name": "Zoé M.", "tags": "paris"})

    zoe = Contact.objects.get()
    assert (report.updated, zoe.name, zoe.tags) == (1, "Zoé M.", ["vip", "lyon", "paris"])
    assert (zoe.language, zoe.persona) == ("fr", "young parent")
    (finding,) = line.findings
    assert (finding.field, finding.code, finding.level) == ("name", "changed", "warning")


def test_an_opt_out_comes_in_and_no_import_takes_it_back(tenant):
    take(tenant, {"phone": ZOE, "opted_out": "oui"})
    zoe = Contact.objects.get()
    assert (zoe.obstacle, zoe.consent.get().how) == ("opted_out", "import")

    report, (line,) = take(tenant, {"phone": ZOE, "opted_out": "no"})

    zoe.refresh_from_db()
    assert zoe.opted_out_at is not None
    assert (report.unchanged, line.findings[0].code) == (1, "kept")


def test_one_person_twice_in_a_file_is_one_contact(tenant):
    rows = [{"phone": ZOE, "name": "Zoé"}, {"phone": "0639980100", "tags": "vip"}]
    for dry_run in (True, False):
        report, lines = take(tenant, *rows, dry_run=dry_run)
        assert [line.outcome for line in lines] == ["created", "updated"]
        assert Contact.objects.count() == (0 if dry_run else 1)
        assert report.rows == 2
    assert Contact.objects.get().tags == ["vip"]


def test_a_dry_run_says_the_same_and_stores_nothing(tenant):
    rows = [FULL, {"phone": "12"}, {"phone": ZOE, "persona": "student", "opted_out": "yes"}]

    dry = take(tenant, *rows, dry_run=True)

    assert not Contact.objects.exists()
    assert not Activity.objects.exists()
    assert dry == take(tenant, *rows)


@pytest.mark.parametrize(
    ("changes", "column", "code"),
    [
        ({"phone": ""}, "phone", "missing"),
        ({"phone": "abc"}, "phone", "unreadable"),
        ({"phone": "+336399"}, "phone", "too_short"),
        ({"phone": ZOE + "\x00"}, "phone", "unreadable"),
        ({"name": "x" * 201}, "name", "unreadable"),
        ({"language": "français"}, "language", "unknown"),
        ({"tags": "x" * 41}, "tags", "invalid"),
        ({"lawful_basis": "vibes"}, "lawful_basis", "unknown"),
        ({"basis_note": ""}, "basis_note", "missing"),
        ({"lawful_basis": ""}, "lawful_basis", "missing"),
        ({"opted_out": "perhaps"}, "opted_out", "unreadable"),
    ],
)
def test_a_bad_row_is_refused_by_its_column_and_the_good_ones_are_taken(
    tenant, changes, column, code
):
    report, (bad, good) = take(tenant, FULL | changes, {"phone": "+33639980101"})

    (finding,) = bad.findings
    assert (bad.outcome, finding.field, finding.code) == ("refused", column, code)
    assert (good.outcome, report.refused, report.created) == ("created", 1, 1)


def test_whoever_asked_to_be_forgotten_is_refused_without_their_number(tenant):
    suppression.suppress(tenant, ZOE, now=NOW)

    _report, (line,) = take(tenant, FULL)

    assert (line.outcome, line.findings[0].code) == ("refused", "suppressed")
    assert "639980100" not in str(line)
    assert not Contact.objects.exists()


def test_a_file_is_read_as_people_make_them(tenant):
    data = "Phone;Tags;Favourite colour\n06 39 98 01 00;vip | lyon;blue\n;;\nx;;\n".encode("cp1252")
    table = ContactTable(io.BytesIO(data), name="people.csv")

    report = contact_files.import_rows(tenant, table.rows(), now=NOW)

    assert (report.created, report.refused) == (1, 1)
    assert Contact.objects.get().tags == ["vip", "lyon"]
    assert [note.code for note in table.notes()] == ["unknown_column"]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04zip", b"a,b\n1,2\n", b"phone,phone\n1,2\n"])
def test_a_file_that_is_none_is_refused_as_a_whole(data):
    with pytest.raises(BadFile):
        ContactTable(io.BytesIO(data))


def test_what_comes_out_can_go_in_and_is_no_formula(tenant):
    take(tenant, FULL | {"name": "=cmd()"}, {"phone": "+33639980101", "opted_out": "yes"})
    text = "".join(stream_csv(contact_files.HEADER, contact_files.exported(Contact.objects.all())))

    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0]["name"] == "'=cmd()"
    assert (rows[0]["tags"], rows[1]["opted_out"]) == ("vip; lyon", "yes")
    other = make_tenant()
    table = ContactTable(io.BytesIO(text.encode()))
    report = contact_files.import_rows(other, table.rows(), now=NOW)
    assert (report.created, report.refused) == (2, 0)
    assert Contact.objects.filter(tenant=other).exclude(opted_out_at=None).count() == 1


# -------------------------------------------------------------------------------- by hand


def test_somebody_is_entered_once(tenant):
    made = contacts.create(
        tenant=tenant, phone="06 39 98 01 00", source="hand", name="Zoé", actor=OLGA, now=NOW
    )

    with pytest.raises(contacts.Known) as known:
        contacts.create(tenant=tenant, phone=ZOE, source="hand", actor=OLGA, now=NOW)

    assert known.value.contact == made
    assert made.obstacle == ""
    suppression.suppress(tenant, "+33639980101", now=NOW)
    with pytest.raises(contacts.Forgotten):
        contacts.create(tenant=tenant, phone="+33639980101", source="hand", now=NOW)


def test_an_edit_is_recorded_by_its_fields_and_nothing_else_can_be_edited(tenant):
    zoe = contacts.create(tenant=tenant, phone=ZOE, source="hand", now=NOW)

    assert contacts.edit(zoe, name="Zoé", tags=["vip"], actor=OLGA, now=NOW)
    assert not contacts.edit(zoe, name="Zoé", tags=["vip"], actor=OLGA, now=NOW)

    assert Activity.objects.get(verb=Verb.CHANGED).detail == {"fields": ["name", "tags"]}
    with pytest.raises(ValueError, match="opted_out_at"):
        contacts.edit(zoe, opted_out_at=NOW, now=NOW)


def test_tags_are_given_to_many_and_kept_by_those_who_have_them(tenant):
    ids = contacts.ensure(tenant_id=tenant.pk, people={ZOE: "", "+33639980101": ""})
    Contact.objects.filter(pk=ids[ZOE]).update(tags=["lyon", "vip"])

    assert contacts.tag(Contact.objects.all(), ["vip"], actor=OLGA, now=NOW) == 1

    assert sorted(Contact.objects.values_list("tags", flat=True)) == [["lyon", "vip"], ["vip"]]


def test_every_act_stands_in_the_ledger_with_who_and_how(tenant):
    zoe = contacts.create(tenant=tenant, phone=ZOE, source="hand", now=NOW)

    contacts.opt_out(zoe, reason="by telephone", how="admin", actor=OLGA, now=NOW)
    contacts.opt_in(zoe, how="admin", note="changed her mind", actor=OLGA, now=NOW)
    contacts.record_basis(zoe, basis="contract", note="customer", how="API", actor=OLGA, now=NOW)
    contacts.withdraw_basis(zoe, note="left us", how="API", actor=OLGA, now=NOW)

    entries = zoe.consent.order_by("id").values_list("what", "how", "note", "actor_name")
    assert list(entries) == [
        ("opted_out", "admin", "by telephone", "olga"),
        ("opted_in", "admin", "changed her mind", "olga"),
        ("lawful_basis", "API", "contract: customer", "olga"),
        ("basis_withdrawn", "API", "left us", "olga"),
    ]
    assert zoe.obstacle == ""  # not known from a group: no basis is needed
    with pytest.raises(ValueError, match="vibes"):
        contacts.record_basis(zoe, basis="vibes", note="", how="API", now=NOW)
