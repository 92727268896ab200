"""Seven days in two languages on one page: written at once, mended in place, switched on."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import Activity
from campaigns import texts
from campaigns.models import Campaign, Step, Target, Template
from tests import factories
from tests.admin.conftest import campaign_page
from tests.factories import DAY
from whatsapp import media
from whatsapp.models import Media

PICTURE = Path(__file__).resolve().parents[2] / "demo" / "day2.png"
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
PAGES = ["people", "texts", "rehearse", "activate", "deactivate", "preview", "picture/1"]


@pytest.fixture
def empty(acme):
    return Campaign.objects.create(tenant=acme, name="Relance", default_language="fr")


def posted(client, campaign, **changes):
    """What the page of texts would post, with `changes`: ``text_1_fr="Bonjour"``."""
    form = client.get(campaign_page(campaign)).context["form"]
    data = {
        bound.html_name: bound.value()
        for bound in form
        if bound.value() not in (None, False) and not bound.html_name.startswith("file")
    }
    return {"save": "1"} | data | {name.replace("_", "-"): value for name, value in changes.items()}


def save(client, campaign, **changes):
    return client.post(campaign_page(campaign), posted(client, campaign, **changes))


def said(campaign):
    return {
        (day.number, lang): body for day in texts.read(campaign) for lang, body in day.texts.items()
    }


# -------------------------------------------------------------------------------- writing


def test_seven_days_in_two_languages_are_written_with_one_save(operator, empty):
    days = {
        f"text_{day}_{language}": f"{language} {day} {{{{name}}}}"
        for day in range(1, 8)
        for language in ("fr", "en")
    }

    saved = save(operator, empty, **days)

    assert saved.status_code == 302
    assert len(said(empty)) == 14
    assert [step.delay for step in empty.steps.order_by("number")] == [0 * DAY] + [DAY] * 6
    activity = Activity.objects.get(verb="template_changed")
    assert (activity.actor_name, activity.detail) == ("operator", {"days": [1, 2, 3, 4, 5, 6, 7]})


def test_saving_what_was_not_touched_changes_nothing(operator, written):
    factories.make_media(written.tenant)
    Template.objects.update(media=Media.objects.get())
    Step.objects.filter(number=2).update(delay=DAY / 86_400 / 3)
    before = texts.read(written)

    save(operator, written)

    assert texts.read(written) == before
    assert not Activity.objects.filter(verb="template_changed").exists()


def test_a_mistake_is_shown_at_its_cell_and_nothing_is_saved_or_lost(operator, empty):
    answer = save(
        operator, empty, text_1_fr="Bonjour {{prenom}}", text_1_en="Hi", text_3_en="Kept {{name"
    )

    assert answer.status_code == 200
    assert said(empty) == {}
    errors = answer.context["form"].errors
    assert "unknown variable {{prenom}}" in errors["text-1-fr"][0]
    assert "does not belong to a variable" in errors["text-3-en"][0]
    assert set(errors) == {"text-1-fr", "text-3-en"}
    for text in ("Bonjour {{prenom}}", "Hi", "Kept {{name"):
        assert text in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text-1-fr", "x" * 4_001),
        ("text-1-fr", "a\x00b"),
        ("hours-2", "soon"),
        ("hours-2", "-1"),
        ("hours-2", "1e400"),
        ("hours-2", "NaN"),
        ("media-1-fr", "nine"),
        ("version", ""),
        ("version", "x" * 500),
        ("referral", "999999999"),
        ("referral", "'; drop table"),
    ],
)
def test_a_hostile_value_is_refused_at_its_field(operator, written, field, value):
    before = texts.read(written)
    data = posted(operator, written) | {field: value}

    answer = operator.post(campaign_page(written), data)

    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert texts.read(written) == before


def test_a_file_is_uploaded_shown_and_removed(operator, written):
    upload = SimpleUploadedFile("guide.pdf", PDF)

    assert save(operator, written, file_1_fr=upload).status_code == 302
    assert Template.objects.get(step__number=1, language="fr").media.filename == "guide.pdf"
    assert "guide.pdf" in operator.get(campaign_page(written)).content.decode()

    save(operator, written, drop_1_fr="on")
    assert Template.objects.get(step__number=1, language="fr").media is None


def test_a_good_file_is_kept_while_a_mistake_elsewhere_is_mended(operator, written):
    upload = SimpleUploadedFile("guide.pdf", PDF)

    refused = save(operator, written, file_1_fr=upload, text_2_fr="{{oops}}")
    assert refused.status_code == 200
    again = {bound.html_name: bound.value() for bound in refused.context["form"] if bound.value()}
    operator.post(campaign_page(written), again | {"text-2-fr": "mended", "save": "1"})

    assert Template.objects.get(step__number=1, language="fr").media.filename == "guide.pdf"
    assert said(written)[2, "fr"] == "mended"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("x.png", b"<svg/>", "an SVG drawing"), ("x.gif", b"GIF89a...", "a GIF")],
)
def test_a_file_that_cannot_be_sent_is_refused_beside_its_field(
    operator, written, name, data, words
):
    answer = save(operator, written, file_1_fr=SimpleUploadedFile(name, data))

    assert words in answer.context["form"].errors["file-1-fr"][0]
    assert not Media.objects.exists()


def test_a_file_of_another_company_is_not_attached_by_its_number(operator, written, rival):
    theirs = media.store(tenant=rival, data=PDF, filename="secret.pdf")

    answer = save(operator, written, media_1_fr=theirs.pk)

    assert not Template.objects.exclude(media=None).exists()
    assert "secret.pdf" not in answer.content.decode()


def test_a_text_that_is_emptied_goes_and_a_day_needs_one(operator, written):
    save(operator, written, text_1_en="")
    assert (1, "en") not in said(written)

    answer = save(operator, written, text_1_fr="")

    assert "Write a text in one language at least" in answer.context["form"].errors["text-1-fr"][0]


def test_a_third_language_is_added_without_saving(operator, written):
    data = posted(operator, written, text_1_fr="unsaved")
    del data["save"]

    answer = operator.post(campaign_page(written), data | {"add": "1", "add_language": "es"})

    assert "text-1-es" in answer.context["form"].fields
    assert "unsaved" in answer.content.decode()
    assert said(written)[1, "fr"] != "unsaved"
    nonsense = operator.post(campaign_page(written), data | {"add": "1", "add_language": "../x"})
    assert nonsense.context["form"].spoken == ["fr", "en"]


def test_two_people_who_write_at_once_do_not_overwrite_each_other_unawares(operator, written):
    mine = posted(operator, written, text_1_fr="mine")
    save(operator, written, text_1_fr="theirs")

    refused = operator.post(campaign_page(written), mine)

    assert said(written)[1, "fr"] == "theirs"
    assert "Somebody else changed these texts" in refused.content.decode()
    assert "mine" in refused.content.decode()
    version = refused.context["form"]["version"].value()
    operator.post(campaign_page(written), mine | {"version": version})
    assert said(written)[1, "fr"] == "mine"


def test_a_new_text_lets_those_who_waited_for_it_go_on(operator, acme):
    campaign = factories.make_campaign(acme, days=1)
    target = factories.make_target(
        factories.make_referral(factories.make_referrer(acme)), campaign=campaign,
        hold="template", hold_detail="x",
    )  # fmt: skip
    later = timezone.now() + DAY
    Target.objects.update(next_due_at=later)

    save(operator, campaign, text_1_fr="Bonjour")

    target.refresh_from_db()
    assert target.next_due_at < later


# ------------------------------------------------------------------------------- previews


def test_every_cell_shows_what_the_chosen_person_would_read(operator, written):
    referrer = factories.make_referrer(written.tenant, name="Amina")
    chosen = factories.make_referral(referrer, name="<b>Zoé</b> Martin", external_id="r 1")
    factories.make_referral(referrer, name="Newer Person")
    Template.objects.filter(language="fr").update(body="Salut {{name}} {{link}}")

    shown = operator.get(campaign_page(written), {"referral": chosen.external_id}).content.decode()

    assert "Salut &lt;b&gt;Zoé&lt;/b&gt; https://pay.example/r%201" in shown


def test_people_are_found_while_their_name_id_or_phone_is_typed(manager, written, rival):
    referrer = factories.make_referrer(written.tenant)
    one = factories.make_referral(referrer, name="<i>Zoé</i>", external_id="r 1&2")
    factories.make_referral(factories.make_referrer(rival), name="<i>Zoé</i>", external_id="theirs")

    def found(text):
        answer = manager.get(campaign_page(written, "people"), {"referral": text})
        return answer.content.decode().strip()

    for text in ("<i>zo", "r 1", one.phone[:6]):
        assert found(text).count("<option") == 1
        assert 'value="r 1&amp;2">&lt;i&gt;Zoé' in found(text)
    for text in ("", "\x00", "%", "x" * 5000):
        assert found(text) == ""


def test_a_cell_is_previewed_while_it_is_written(operator, written):
    def preview(body):
        address = f"/admin/campaigns/campaign/{written.pk}/preview/?cell=1-fr"
        return operator.post(address, {"text-1-fr": body}).content.decode()

    assert "Bonjour Chloé" in preview("Bonjour {{name}}")
    assert "unknown variable {{prenom}}" in preview("{{prenom}}").replace("&#x27;", "'")
    assert "&lt;script&gt;" in preview("<script>")
    assert preview("").strip() == ""


def test_a_missing_language_is_marked_at_its_cell(operator, written):
    Template.objects.filter(step__number=2, language="en").delete()

    answer = operator.get(campaign_page(written))

    cells = {(c.day, c.language): c.problem for row in answer.context["rows"] for c in row.cells}
    assert not cells
    assert "“en” is missing" in answer.content.decode()
    assert "day 2 has no text in “en”" in answer.content.decode()


def test_a_picture_has_a_thumbnail_and_nothing_else_is_served(operator, manager, written, rival):
    data = PICTURE.read_bytes()
    picture = media.store(tenant=written.tenant, data=data, filename="day2.png")
    document = media.store(tenant=written.tenant, data=PDF, filename="guide.pdf")
    theirs = media.store(tenant=rival, data=data, filename="day2.png")

    def get(client, file):
        return client.get(f"/admin/campaigns/campaign/{written.pk}/picture/{file.pk}/")

    shown = get(manager, picture)
    assert (shown.status_code, shown["Content-Type"]) == (200, "image/png")
    assert "sandbox" in shown["Content-Security-Policy"]
    assert get(operator, document).status_code == 404
    assert get(operator, theirs).status_code == 404


# ---------------------------------------------------------------------------------- scope


@pytest.mark.parametrize("name", PAGES)
def test_another_companys_campaign_is_not_there(manager, acme, rival, name):
    theirs = factories.make_campaign(rival)

    assert manager.get(campaign_page(theirs, name)).status_code in {403, 404}
    assert manager.post(campaign_page(theirs, name), {"save": "1"}).status_code in {403, 404}
    assert Campaign.objects.get().active


def test_a_referral_of_another_company_is_no_sample(manager, written, rival):
    theirs = factories.make_referral(factories.make_referrer(rival), name="Secret Person")

    for name in ("texts", "rehearse"):
        shown = manager.get(campaign_page(written, name), {"referral": theirs.external_id})
        assert "Secret" not in shown.content.decode()


def test_the_pages_take_few_queries(operator, written, django_assert_max_num_queries):
    """Also of somebody who is followed: the dry run says beside it where they are."""
    referral = factories.make_referral(factories.make_referrer(written.tenant))
    factories.make_target(referral, campaign=written)
    for name in ("texts", "rehearse", "activate", "deactivate"):
        with django_assert_max_num_queries(15):
            shown = operator.get(campaign_page(written, name))
        # It is on: there is nothing to switch on.
        assert shown.status_code == (403 if name == "activate" else 200)
