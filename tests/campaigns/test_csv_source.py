"""CSV files as people's programs write them."""

import codecs
import io
import json

import pytest
from django.core.management import CommandError, call_command

from accounts.findings import Finding
from accounts.tables import LONGEST_LINE, BadFile
from campaigns.csv_source import CsvSource
from campaigns.models import Referral
from tests.factories import make_referrer

HEADER = "external_id,referrer,name,phone,region,language,registered_at,paid_at\r\n"
LINE = "ref-1,amina,Zoé Mbarga,0639980000,FR,fr,2026-11-10T08:00:00+00:00,\r\n"
TEXT = HEADER + LINE


def source(data):
    return CsvSource(io.BytesIO(data if isinstance(data, bytes) else data.encode()), name="a.csv")


def only_row(data):
    rows = list(source(data).rows())
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("latin-1"),
        TEXT.replace(",", ";").encode(),
        TEXT.replace(",", "\t").encode("utf-16"),
        ("sep=;\r\n" + TEXT.replace(",", ";")).encode(),
        TEXT.replace("\r\n", "\n").encode(),
        TEXT.replace("external_id", " External ID ").encode(),
    ],
    ids=[
        "utf-8", "bom", "utf-16", "utf-16-be", "utf-16-le-bare", "utf-16-be-bare", "utf-32",
        "latin-1", "semicolons", "tabs-utf-16", "sep-hint", "unix-lines", "header-with-spaces",
    ],
)  # fmt: skip
def test_encodings_and_separators_are_found(data):
    row = only_row(data)
    assert (row.row, row.external_id, row.name) == (2, "ref-1", "Zoé Mbarga")
    assert row.registered_at == "2026-11-10T08:00:00+00:00"


def test_a_file_in_windows_encoding_is_read_and_said_so():
    notes = source(TEXT.encode("cp1252")).notes()
    assert [(n.code, n.level) for n in notes] == [("encoding", "warning")]
    assert "Windows-1252" in notes[0].reason
    assert not source(TEXT).notes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "a.csv is empty"),
        (b"\n\n", "a.csv is empty"),
        (b"PK\x03\x04rest", "an Excel or Open Document workbook, not CSV"),
        (b"%PDF-1.7", "a PDF, not CSV"),
        (LINE.encode(), "has no header: its first row must name the columns external_id"),
        (TEXT.replace("phone", "telephone").encode(), "lacks the column phone"),
        (TEXT.replace("name", "phone").encode(), "has the column phone twice"),
        (TEXT.encode() + b"\x81\xff\n", "neither UTF-8 nor Windows-1252 text (byte 0x81"),
        (codecs.BOM_UTF8 + TEXT.encode("latin-1"), "is not UTF-8-SIG text"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(data, reason):
    with pytest.raises(BadFile) as caught:
        source(data)
    assert reason in str(caught.value)


def test_an_unknown_column_is_said_and_left_out():
    made = source(TEXT.replace("paid_at\r\n", "paid_at,notes\r\n"))
    assert [n.code for n in made.notes()] == ["unknown_column"]
    assert "“notes”" in made.notes()[0].reason
    assert len(list(made.rows())) == 1


def test_columns_may_come_in_any_order_and_optional_ones_be_missing():
    row = only_row("phone,registered_at,referrer,external_id\n0639,2026,amina,r\n")
    assert (row.phone, row.referrer, row.name) == ("0639", "amina", "")


def test_short_rows_and_blank_lines_are_no_error():
    rows = list(source(HEADER + "ref-1,amina\n\n,,,\n" + LINE).rows())
    assert [r.external_id for r in rows] == ["ref-1", "ref-1"]
    assert rows[1].row == 5, "counted as a spreadsheet does"


def test_too_many_fields_are_refused_because_nobody_knows_which_is_which():
    found = only_row(HEADER + "ref-1,amina,Martin, Zoé,0639980000,FR,fr,2026-11-10,,\n")
    assert isinstance(found, Finding)
    assert (found.code, found.row) == ("too_many_fields", 2)


def test_a_quote_left_open_loses_what_it_swallows_and_no_more():
    swallowed = "x" * 100 + "\n"
    rows = list(source(HEADER + 'a,"' + swallowed * 2000 + LINE).rows())
    errors = [r for r in rows if isinstance(r, Finding)]
    assert errors
    assert "is a quote left open?" in errors[0].reason


def test_a_line_without_end_does_not_fill_the_memory():
    made = source(HEADER + "x" * (LONGEST_LINE + 10))
    with pytest.raises(BadFile, match="a line of a megabyte"):
        list(made.rows())


# ------------------------------------------------------------------------------ the command


@pytest.fixture
def amina(db):
    return make_referrer(external_id="amina")


def run(path, tenant, **options):
    out = io.StringIO()
    call_command("import_referrals", str(path), tenant=tenant.slug, stdout=out, **options)
    return out.getvalue()


def test_the_command_prints_each_finding_and_the_sums(amina, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(TEXT + "ref-2,amina,X,,FR,fr,2026-11-10,\n")

    printed = run(path, amina.tenant)

    assert "row 3 ref-2: error: the phone number is missing" in printed
    assert "2 rows: 1 created, 0 updated, 0 unchanged, 1 refused" in printed


def test_the_command_writes_a_report_without_formulas(amina, tmp_path):
    path, report = tmp_path / "a.csv", tmp_path / "report.csv"
    path.write_text(HEADER + "=1+1,amina,X,,FR,fr,2026-11-10,\n")

    run(path, amina.tenant, report=str(report))

    assert "2,'=1+1,phone,error,missing,the phone number is missing" in report.read_text()


def test_the_command_speaks_json(amina, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(TEXT + "ref-2,amina,X,,FR,fr,2026-11-10,\n")

    report = json.loads(run(path, amina.tenant, json=True))

    assert report["created"] == 1
    assert report["findings"][0]["code"] == "missing"
    assert Referral.objects.get().external_id == "ref-1"


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04"])
def test_an_unusable_file_ends_with_status_2(amina, tmp_path, content):
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        run(path, amina.tenant)
    assert caught.value.returncode == 2


def test_an_unknown_tenant_ends_with_status_2(db, tmp_path):
    with pytest.raises(CommandError) as caught:
        call_command("import_referrals", "a.csv", tenant="nobody")
    assert caught.value.returncode == 2
