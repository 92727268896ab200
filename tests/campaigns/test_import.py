"""Referrals come in by the row: what is taken, what is refused, and what is said about it."""

import csv
import datetime as dt
import io
import time
import tracemalloc
from pathlib import Path

import pytest

from accounts.exports import harmless, stream_csv
from accounts.models import Activity
from campaigns import enrolment, exits, referrals
from campaigns.csv_source import CsvSource
from campaigns.models import Payment, Referral, Referrer, Target
from campaigns.referrals import import_rows
from campaigns.rows import Row
from tests.factories import (
    DAY,
    NOW,
    fiction_phone,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)

pytestmark = pytest.mark.django_db

DEMO = Path(__file__).parents[2] / "demo"
GOOD, BAD = DEMO / "referrals.csv", DEMO / "referrals-bad.csv"


@pytest.fixture
def tenant():
    tenant = make_tenant()
    make_campaign(tenant)
    for name in ("amina", "bruno", "chantal", "david"):
        make_referrer(tenant, external_id=name)
    return tenant


def load(tenant, path, *, now=NOW):
    with path.open("rb") as file:
        return import_rows(tenant, CsvSource(file).rows(), now=now)


def row(**fields):
    defaults = {
        "row": 2,
        "external_id": "ref-1",
        "referrer": "amina",
        "name": "Zoé",
        "phone": "06 39 98 00 00",
        "registered_at": "2026-11-10T08:00:00+00:00",
    }
    return Row(**(defaults | fields))


def one(report, code):
    found = [f for f in report.findings if f.code == code]
    assert len(found) == 1, report.findings
    return found[0]


def test_the_demo_file_is_imported_whole(tenant):
    report = load(tenant, GOOD)

    assert (report.created, report.refused, report.updated) == (200, 0, 0)
    # Ten phones are there twice, the second time from another referral.
    assert report.codes == {"phone_followed": 10}
    jean = Referral.objects.get(external_id="ref-0000")
    assert (jean.phone, jean.referrer.external_id) == ("+33639980000", "chantal")
    assert enrolment.enrol(now=NOW) == 190


def test_importing_it_again_changes_nothing_and_says_the_same(tenant):
    first = load(tenant, GOOD)
    before = list(Referral.objects.order_by("id").values())

    again = load(tenant, GOOD, now=NOW + DAY)

    assert (again.created, again.updated, again.unchanged) == (0, 0, 200)
    assert again.codes == first.codes
    assert list(Referral.objects.order_by("id").values()) == before


EXPECTED_OF_BAD = {
    "ref-9001": ("refused", "phone", "error", "missing"),
    "ref-9002": ("refused", "phone", "error", "too_short"),
    "ref-9003": ("refused", "referrer", "error", "unknown"),
    "ref-9004": ("imported", "language", "warning", "unknown"),
    "ref-9005": ("refused", "registered_at", "error", "unreadable"),
    "ref-9006": ("refused", "registered_at", "error", "future"),
    "": ("refused", "external_id", "error", "missing"),
    "ref-9009": ("imported", "phone", "warning", "phone_followed"),
    "ref-9011": ("refused", "phone", "error", "landline"),
}


@pytest.mark.parametrize("external_id", EXPECTED_OF_BAD)
def test_each_bad_row_is_told_with_its_field_and_reason(tenant, external_id):
    load(tenant, GOOD)
    report = load(tenant, BAD)

    fate, field, level, code = EXPECTED_OF_BAD[external_id]
    found = [f for f in report.findings if f.external_id == external_id]
    assert [(f.field, f.level, f.code) for f in found] == [(field, level, code)]
    assert found[0].reason
    assert Referral.objects.filter(external_id=external_id).exists() == (fate == "imported")


def test_the_bad_file_as_a_whole(tenant):
    load(tenant, GOOD)
    report = load(tenant, BAD)
    assert (report.created, report.updated, report.unchanged, report.refused) == (4, 1, 0, 7)
    assert report.paid == 1
    assert [f.row for f in report.findings if f.external_id == "ref-9011"] == [13]


def test_a_known_id_is_updated_and_keeps_its_first_referrer(tenant):
    load(tenant, GOOD)
    report = load(tenant, BAD)

    kept = Referral.objects.get(external_id="ref-0000")
    assert kept.name == "Doublon Identique"
    assert kept.referrer.external_id == "chantal"
    said = {f.field: f for f in report.findings if f.external_id == "ref-0000"}
    assert said["name"].reason == "the name was “Jean-Pierre Sow” and is now “Doublon Identique”"
    assert said["referrer"].code == "referrer_kept"
    assert "“amina” is not taken over" in said["referrer"].reason


def test_an_unknown_language_means_the_default(tenant):
    load(tenant, BAD)
    assert Referral.objects.get(external_id="ref-9004").language == ""


def test_a_real_language_nobody_wrote_is_kept_for_later_with_a_warning(tenant):
    report = import_rows(tenant, [row(language="es")], now=NOW)
    assert one(report, "unknown").level == "warning"
    assert Referral.objects.get().language == "es"


@pytest.mark.parametrize(("text", "stored"), [("FR", "fr"), ("fr-FR", "fr"), ("en_GB", "en")])
def test_languages_are_understood_as_people_write_them(tenant, text, stored):
    report = import_rows(tenant, [row(language=text)], now=NOW)
    assert not report.findings
    assert Referral.objects.get().language == stored


def test_a_formula_is_data(tenant):
    load(tenant, BAD)
    assert Referral.objects.get(external_id="ref-9007").name == '=HYPERLINK("x")'


def test_no_export_writes_a_formula():
    assert harmless('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    for start in ("+cmd", "-1+1", "@SUM(1)", "\t=1", "  =1", "＝1", "=1"):
        assert harmless(start) == "'" + start
    for kept in ("+33639980000", "-12", "Zoé", "", "a=b", "2026-11-10"):
        assert harmless(kept) == kept
    assert harmless(None) == ""
    exported = "".join(stream_csv(["name"], [["=1"], ["a,b"]])).removeprefix("\ufeff")
    assert list(csv.reader(io.StringIO(exported, newline=""))) == [["name"], ["'=1"], ["a,b"]]


@pytest.mark.parametrize("batch", [1, 3, 2_000])
def test_a_dry_run_says_what_the_import_then_does_and_stores_nothing(tenant, monkeypatch, batch):
    """Whatever fits into a transaction: later rows meet what earlier ones would have stored."""
    monkeypatch.setattr(referrals, "BATCH", batch)
    Payment.objects.create(tenant=tenant, external_id="ref-0003", paid_at=NOW, source="x")
    # The file corrects this one's phone, and gives the old one to somebody in a later batch.
    amina = Referrer.objects.get(external_id="amina")
    make_referral(amina, external_id="ref-0002", name="Old", phone="+33639980011")

    def run(**options):
        lines = []
        with BAD.open("rb") as bad, GOOD.open("rb") as good:
            rows = [*CsvSource(good).rows(), *CsvSource(bad).rows(), *CsvSource(good).rows()]
            report = import_rows(tenant, rows, now=NOW, told=lines.append, **options)
        return report.as_json(), lines

    before = list(Referral.objects.values())
    promised = run(dry_run=True)
    assert list(Referral.objects.values()) == before
    assert Payment.objects.count() == 1
    assert not Activity.objects.filter(verb="referrals_imported").exists()

    assert run() == promised
    assert Referral.objects.count() > 200


def test_every_row_is_told_what_becomes_of_it(tenant):
    lines = []
    rows = [row(), row(row=3), row(row=4, phone="no"), row(row=5, name="Other")]

    import_rows(tenant, rows, now=NOW, told=lines.append)

    assert [(line.row, line.external_id, line.outcome) for line in lines] == [
        (2, "ref-1", "created"),
        (3, "ref-1", "unchanged"),
        (4, "ref-1", "refused"),
        (5, "ref-1", "updated"),
    ]
    assert [finding.field for line in lines for finding in line.findings] == ["phone", "name"]


def test_a_phone_that_is_followed_gets_no_second_target(tenant):
    load(tenant, GOOD)
    load(tenant, BAD)
    enrolment.enrol(now=NOW)

    same = Target.objects.filter(phone="+33639980001")
    assert [t.referral.external_id for t in same] == ["ref-0001"]
    second = Referral.objects.get(external_id="ref-9009")
    assert second.skipped_reason == "phone_followed"


def test_a_referral_that_comes_as_paid_is_never_enrolled(tenant):
    load(tenant, BAD)
    enrolment.enrol(now=NOW)
    paid = Referral.objects.get(external_id="ref-9010")
    assert paid.paid_at == dt.datetime(2026, 11, 11, 10, tzinfo=dt.UTC)
    assert not paid.targets.exists()


def test_a_payment_before_the_import_counts(tenant):
    exits.exit_referral(tenant=tenant, external_id="ref-1", now=NOW - DAY)

    report = import_rows(tenant, [row()], now=NOW)

    assert report.created == report.paid == 1
    assert one(report, "paid").level == "warning"
    assert Referral.objects.get().paid_at == NOW - DAY
    assert enrolment.enrol(now=NOW) == 0


def test_a_payment_in_a_later_import_ends_the_sequence(tenant):
    import_rows(tenant, [row()], now=NOW)
    enrolment.enrol(now=NOW)

    report = import_rows(tenant, [row(paid_at="2026-11-19T10:00:00Z")], now=NOW)

    assert (report.updated, report.paid) == (1, 1)
    target = Target.objects.get()
    assert (target.state, target.exit_reason) == ("exited", "paid")
    assert Payment.objects.get().source == "import"
    again = import_rows(tenant, [row(paid_at="2026-11-19T10:00:00Z")], now=NOW)
    assert (again.unchanged, again.paid) == (1, 0)


def test_a_payment_is_never_taken_back(tenant):
    import_rows(tenant, [row(paid_at="2026-11-19T10:00:00Z")], now=NOW)
    report = import_rows(tenant, [row(paid_at="")], now=NOW)
    assert report.unchanged == 1
    assert Referral.objects.get().paid_at is not None


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"paid_at": "soon"}, "paid_at", "unreadable"),
        ({"registered_at": ""}, "registered_at", "missing"),
        ({"registered_at": "0001-01-01T00:00:00+14:00"}, "registered_at", "unreadable"),
        ({"registered_at": "1999-01-01"}, "registered_at", "too_early"),
        ({"registered_at": "10/11/2026"}, "registered_at", "unreadable"),
        ({"referrer": " "}, "referrer", "missing"),
        ({"name": "x" * 201}, "name", "too_long"),
        ({"external_id": "x" * 101}, "external_id", "too_long"),
        ({"phone": "9" * 100_000}, "phone", "too_long"),
        ({"name": "Zo\x00é"}, "name", "nul"),
        ({"external_id": "\x00"}, "external_id", "nul"),
        ({"phone": "call me"}, "phone", "unreadable"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_and_the_next_one_is_not(tenant, fields, field, code):
    good = row(row=3, external_id="good", phone="06 39 98 00 01")
    report = import_rows(tenant, [row(**fields), good], now=NOW)

    assert (report.created, report.refused) == (1, 1)
    assert (one(report, code).field, one(report, code).level) == (field, "error")
    assert Referral.objects.get().external_id == "good"


def test_names_are_one_line_without_hidden_characters(tenant):
    import_rows(tenant, [row(name="  Zoe\u0301\r\n  \u202eMartin\x07 👩\u200d💻 ")], now=NOW)
    assert Referral.objects.get().name == "Zoé Martin 👩\u200d💻"


def test_a_time_without_offset_is_the_tenants(tenant):
    import_rows(tenant, [row(registered_at="2026-11-10 08:00")], now=NOW)
    assert Referral.objects.get().registered_at == dt.datetime(2026, 11, 10, 7, tzinfo=dt.UTC)


def test_an_unknown_region_is_said_and_the_tenants_is_used(tenant):
    report = import_rows(tenant, [row(region="ZZ")], now=NOW)
    assert one(report, "unknown").field == "region"
    assert Referral.objects.get().phone == "+33639980000"


def test_an_id_twice_in_a_file_is_one_referral(tenant):
    rows = [row(row=2), row(row=3), row(row=4, name="Zoé Martin")]
    report = import_rows(tenant, rows, now=NOW)
    assert (report.created, report.unchanged, report.updated) == (1, 1, 1)
    assert Referral.objects.get().name == "Zoé Martin"


def test_an_empty_cell_says_nothing(tenant):
    import_rows(tenant, [row(language="en", region="FR")], now=NOW)
    report = import_rows(tenant, [row(name="", language="", region="")], now=NOW)
    assert report.unchanged == 1
    stored = Referral.objects.get()
    assert (stored.name, stored.language, stored.region) == ("Zoé", "en", "FR")


def test_a_corrected_phone_is_the_one_that_is_followed(tenant):
    import_rows(tenant, [row()], now=NOW)
    enrolment.enrol(now=NOW)

    import_rows(tenant, [row(phone="06 39 98 00 09")], now=NOW)

    assert Target.objects.get().phone == "+33639980009"


def test_a_corrected_phone_that_somebody_else_is_followed_under_stays_as_it_was(tenant):
    import_rows(tenant, [row()], now=NOW)
    enrolment.enrol(now=NOW)
    make_target(make_referral(make_referrer(tenant), phone="+33639980009"))

    report = import_rows(tenant, [row(phone="06 39 98 00 09")], now=NOW)

    assert one(report, "phone_followed")
    assert Target.objects.get(referral__external_id="ref-1").phone == "+33639980000"


def test_referrers_and_referrals_of_another_tenant_are_not_seen(tenant):
    other = make_tenant()
    make_referral(make_referrer(other, external_id="amina"), external_id="ref-1")
    assert import_rows(other, [row(referrer="bruno")], now=NOW).refused == 1
    assert import_rows(tenant, [row()], now=NOW).created == 1
    assert Referral.objects.filter(external_id="ref-1").count() == 2


def test_the_report_keeps_the_first_findings_and_counts_all(tenant, monkeypatch):
    monkeypatch.setattr(referrals, "KEPT_FINDINGS", 2)
    told = []
    rows = [row(row=n, phone="") for n in range(5)]

    report = import_rows(tenant, rows, now=NOW, sink=told.append)

    assert (len(report.findings), report.findings_left_out, len(told)) == (2, 3, 5)
    assert report.codes == {"missing": 5}


ROWS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_hundred_thousand_rows_in_bounded_memory_and_a_minute(tenant):
    def many():
        for n in range(ROWS):
            phone = fiction_phone(n % 90_000)
            yield row(row=n + 2, external_id=f"r{n}", phone=phone, name=f"Zoé {n}")

    # An import's cost is its processor time here: other test runs share the machine.
    before = time.process_time()
    report = import_rows(tenant, many(), now=NOW)
    seconds = time.process_time() - before

    assert report.created == ROWS
    assert report.codes == {"phone_followed": ROWS - 90_000}
    print(f"{ROWS} rows in {seconds:.1f} s of our processor")
    assert seconds < 45


def test_memory_does_not_grow_with_the_file(tenant):
    def peak(rows):
        tracemalloc.start()
        import_rows(
            tenant, (row(row=n, external_id=f"r{n}", phone="") for n in range(rows)), now=NOW
        )
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(2_000)
    assert peak(30_000) < 12_000_000
