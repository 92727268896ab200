"""Referrals and texts come in by file: first what would happen, then "yes"; and go out again."""

import csv
import io
import re
import zipfile
from pathlib import Path

import pytest
import yaml
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts import uploads
from accounts.models import Activity
from campaigns import texts
from campaigns.models import Campaign, Referral
from tests import factories
from tests.admin.test_actions import act
from tests.factories import DAY
from whatsapp import media

DEMO = Path(__file__).resolve().parents[2] / "demo"
IMPORT = "/admin/campaigns/referral/import-csv/"
IMPORT_TEXTS = "/admin/campaigns/campaign/import-texts/"


def demo(name):
    return (DEMO / name).read_bytes()


def upload(client, tenant, data, name="referrals.csv", *, to=IMPORT):
    return client.post(to, {"tenant": tenant.pk, "file": SimpleUploadedFile(name, data)})


def confirm(client, asked, *, to=IMPORT):
    return client.post(to, {"token": asked.context["token"], "confirmed": "yes"})


def imported(client, tenant, data, name="referrals.csv"):
    return confirm(client, upload(client, tenant, data, name))


@pytest.fixture
def referrers(acme):
    for name in ("amina", "bruno", "chantal", "david"):
        factories.make_referrer(acme, external_id=name, name=name.title())


# ------------------------------------------------------------------------------ referrals


def test_a_dry_run_comes_first_and_the_file_is_not_asked_for_again(operator, acme, referrers):
    asked = upload(operator, acme, demo("referrals.csv"))

    assert "Nothing is imported yet" in asked.content.decode()
    assert asked.context["report"].created == 200
    assert not Referral.objects.exists()

    done = confirm(operator, asked)
    assert done.context["report"].created == Referral.objects.count() == 200
    assert Activity.objects.get(verb="referrals_imported").actor_name == "operator"
    again = confirm(operator, asked)
    assert again.status_code == 302  # the file is gone, nothing happens twice


def test_a_report_says_line_column_reason_and_can_be_downloaded(operator, acme, referrers):
    imported(operator, acme, demo("referrals.csv"))
    bad = upload(operator, acme, demo("referrals-bad.csv"), "referrals-bad.csv")

    refused = {f.external_id: f.field for f in bad.context["findings"] if f.level == "error"}
    assert refused.items() >= {
        "ref-9001": "phone", "ref-9002": "phone", "ref-9003": "referrer",
        "ref-9005": "registered_at", "ref-9006": "registered_at", "ref-9011": "phone",
    }.items()  # fmt: skip
    table = operator.get(bad.context["report_address"])
    assert "attachment" in table["Content-Disposition"]
    text = b"".join(table.streaming_content).decode("utf-8-sig")
    rows = {row["referral"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert rows["ref-9003"]["what happens"] == "refused"
    assert rows["ref-9003"]["column"] == "referrer"
    assert rows["ref-9003"]["line"].isdecimal()


def test_a_report_holds_no_formula(operator, acme, referrers):
    data = b"external_id,referrer,phone,registered_at\n=1+1,amina,0639980001,2026-01-01\n"

    asked = upload(operator, acme, data)

    table = b"".join(operator.get(asked.context["report_address"]).streaming_content)
    assert b"'=1+1" in table
    assert b",=1+1" not in table


def test_a_kept_file_is_for_whoever_uploaded_it_and_for_an_hour(
    operator, manager, acme, referrers, settings
):
    asked = upload(operator, acme, demo("referrals.csv"))

    assert confirm(manager, asked).status_code == 302
    for token in ("", "nonsense", asked.context["token"] + "x"):
        answer = operator.post(IMPORT, {"token": token, "confirmed": "yes"})
        assert answer.status_code in {200, 302}
        address = f"/admin/campaigns/referral/import-report/?token={token}"
        assert operator.get(address).status_code == 404
    assert manager.get(asked.context["report_address"]).status_code == 404
    assert not Referral.objects.exists()

    now = timezone.now()
    assert uploads.sweep(now=now) == 0
    assert uploads.sweep(now=now + DAY) == 2  # the file and its report
    assert default_storage.listdir("uploads") == ([], [])
    assert confirm(operator, asked).status_code == 302


def test_somebody_who_lost_the_company_imports_nothing_into_it(manager, acme, referrers):
    asked = upload(manager, acme, demo("referrals.csv"))
    acme.memberships.filter(role="manager").delete()

    assert confirm(manager, asked).status_code in {302, 403}
    assert not Referral.objects.exists()


def test_a_name_is_data_on_every_page(operator, acme, referrers):
    name = "<script>alert(1)</script>"
    data = (
        "external_id,referrer,name,phone,registered_at\n"
        f"r1,amina,{name},0639980001,2026-01-01\n"
        f"{name},nobody,x,0639980002,2026-01-01\n"
        f'=HYPERLINK("x"),"{name}",x,0639980003,2026-01-01\n'
    ).encode()

    report = imported(operator, acme, data).content.decode()
    listed = operator.get("/admin/campaigns/referral/").content.decode()
    page = operator.get(
        f"/admin/campaigns/referral/{Referral.objects.get().pk}/change/"
    ).content.decode()

    for text in (report, listed, page):
        assert name not in text
        assert re.search(r"&lt;script&gt;alert\(1\)", text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + b"\0" * 50, "workbook"),
        (b"just,some,columns\n1,2,3\n", "no header"),
        (b"external_id,phone\n1,2\n", "lacks the column"),
        (b"", "empty"),
        (b"\x00\xff" * 100, ""),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_beside_its_field(operator, acme, data, words):
    answer = upload(operator, acme, data)

    assert answer.status_code == 200
    assert "report" not in answer.context
    (message,) = answer.context["form"].errors["file"]
    assert words in message
    assert not Referral.objects.exists()


def test_a_large_file_that_django_keeps_on_disk_is_imported_too(operator, acme, referrers):
    head = "external_id,referrer,name,phone,registered_at\n"
    rows = "".join(
        f"r{n},amina,{'x' * 150},+336399800{n % 100:02d},2026-01-01\n" for n in range(15_000)
    )

    answer = imported(operator, acme, (head + rows).encode())

    assert answer.context["report"].created == 15_000


def test_staff_import_into_their_own_company_only(manager, acme, rival, referrers):
    answer = upload(manager, rival, demo("referrals.csv"))

    assert "tenant" in answer.context["form"].errors
    assert "Rival" not in answer.content.decode()
    assert not Referral.objects.exists()
    assert imported(manager, acme, demo("referrals.csv")).context["report"].created == 200


def test_chosen_referrals_are_exported_as_an_import_takes_them(operator, acme, referrers):
    imported(operator, acme, demo("referrals.csv"))

    exported = act(
        operator, "/admin/campaigns/referral/", "export_csv", [Referral.objects.first()],
        select_across="1",
    )  # fmt: skip
    data = b"".join(exported.streaming_content)

    assert upload(operator, acme, data).context["report"].unchanged == 200


def test_staff_export_their_own_companys_people_only(manager, acme, rival):
    theirs = factories.make_referral(factories.make_referrer(rival), name="Secret Person")

    answer = act(manager, "/admin/campaigns/referral/", "export_csv", [theirs], select_across="1")

    assert b"Secret" not in b"".join(answer.streaming_content)


# ---------------------------------------------------------------------------------- texts


def package(**changes):
    document = yaml.safe_load(demo("relance-7-days.yaml")) | changes
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("relance.yaml", yaml.safe_dump(document, allow_unicode=True))
        for name in ("day2.png", "guide.pdf"):
            archive.writestr(name, demo(name))
    return packed.getvalue()


def upload_texts(client, tenant, data, name="relance.zip"):
    return upload(client, tenant, data, name, to=IMPORT_TEXTS)


def test_a_whole_sequence_comes_in_after_a_dry_run(operator, acme):
    asked = upload_texts(operator, acme, package())

    assert "would get a new campaign" in asked.content.decode()
    assert len(asked.context["changes"]) == 14
    assert not Campaign.objects.exists()

    done = confirm(operator, asked, to=IMPORT_TEXTS)
    campaign = Campaign.objects.get()
    assert done.status_code == 302
    assert campaign.active is False
    days = {day.number: day for day in texts.read(campaign)}
    assert len(days) == 7
    assert days[2].files["fr"].filename == "day2.png"


def test_a_dry_run_shows_what_would_become_different_and_nothing_else(operator, acme):
    confirm(operator, upload_texts(operator, acme, package()), to=IMPORT_TEXTS)
    same = upload_texts(operator, acme, package())
    assert same.context["changes"] == []
    steps = yaml.safe_load(demo("relance-7-days.yaml"))["steps"]
    steps[0]["fr"] = "Salut"
    before = texts.read(Campaign.objects.get())

    asked = upload_texts(operator, acme, package(steps=steps[:6]))

    assert [(c.day, c.language, c.kind) for c in asked.context["changes"]] == [
        (1, "fr", "changed"),
        (7, "", "off"),
    ]
    assert texts.read(Campaign.objects.get()) == before


def test_what_is_exported_comes_back_as_it_was(operator, acme, rival):
    campaign = factories.make_campaign(acme, days=3, delay=DAY / 2, name="Été 2027")
    day = texts.read(campaign)
    day[0].texts["fr"] = "un\ndeux 👋 : {{name}}\n"
    day[1].files["fr"] = media.store(tenant=acme, data=demo("guide.pdf"), filename="guide.pdf")
    day[2].active = False
    texts.write(campaign, day, default_language="fr", now=timezone.now())

    exported = operator.get(f"/admin/campaigns/campaign/{campaign.pk}/export/")
    assert exported["Content-Disposition"] == 'attachment; filename="ete-2027.zip"'
    confirm(operator, upload_texts(operator, rival, exported.content), to=IMPORT_TEXTS)

    def content(tenant):
        return [
            (d.number, d.active, d.delay, d.texts, {k: f.sha256 for k, f in d.files.items()})
            for d in texts.read(tenant.campaigns.get())
        ]

    assert content(rival) == content(acme)


def zipped(*members, how=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()


def damaged(how):
    data = bytearray(zipped(("a.yaml", b"name: x\n" * 400), how=how))
    for place in range(55, 75):
        data[place] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.yaml", b"steps: [", "not YAML"),
        ("a.yaml", b"\xff\xfe", "not UTF-8"),
        ("a.yaml", b"name: x", "default_language is missing"),
        ("a.zip", zipped(("../evil.yaml", b"x")), "lies in a folder"),
        ("a.zip", zipped(("one.yaml", b"x"), ("two.yaml", b"x")), "must hold one .yaml file"),
        ("a.zip", zipped(*[(f"{n}.txt", b"") for n in range(300)]), "more than 200 files"),
        ("a.zip", zipped(("bomb.yaml", b"0" * (300 << 20))), "larger than 256 MiB"),
        ("a.zip", zipped(("a.yaml", b"x" * 9999))[:-40], "not"),
        ("a.zip", damaged(zipfile.ZIP_DEFLATED), "cannot be read"),
        ("a.zip", damaged(zipfile.ZIP_BZIP2), "cannot be read"),
        ("a.zip", damaged(zipfile.ZIP_LZMA), "cannot be read"),
    ],
    ids=["yaml", "bytes", "lacks", "folder", "two", "many", "bomb", "cut", "zip", "bz2", "lzma"],
)
def test_a_file_of_texts_that_cannot_be_used_says_why(operator, acme, name, data, words):
    answer = upload_texts(operator, acme, data, name)

    assert answer.status_code == 200
    assert words in " ".join(answer.context["problems"])
    assert not Campaign.objects.exists()


def test_texts_are_imported_into_and_exported_from_ones_own_company_only(manager, acme, rival):
    theirs = factories.make_campaign(rival)

    assert "tenant" in upload_texts(manager, rival, package()).context["form"].errors
    assert manager.get(f"/admin/campaigns/campaign/{theirs.pk}/export/").status_code == 404
    assert rival.campaigns.get() == theirs
