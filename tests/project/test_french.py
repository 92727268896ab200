"""Whoever chooses French reads French: what both languages say alike is a gap, or a name."""

import re
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Catalog
from django.contrib import admin
from django.urls import reverse
from django.utils.translation import override

from accounts.models import User
from campaigns.models import Referral
from scripts import translations
from tests import companies, factories
from tests.admin.test_pages import fill
from tests.pages.test_in_browser import STATES
from tests.visitors import logged_in

# Words that are the same in both languages.
SAME = {
    "en", "english", "fr", "français",
    "agent", "audio", "contact", "contacts", "crontabs", "csv", "date", "dates", "document",
    "email", "esc", "image", "instance", "lid", "media", "message", "messages", "pause", "pid",
    "questions", "relance", "sha256", "source", "text", "text/plain", "variables", "video",
    "whatsapp", "worker", "worker w", "· fr", "usernames", "conversations", "segments", "webhooks",
    "segment", "webhook", "conversation", "total", "session", "secret", "retell ai", "position",
    "personas", "persona", "note", "engagement", "import", "description", "fr, en",
}  # fmt: skip
# What tests call things, ids, and the names of codes.
NAMES = re.compile(
    r"\d|acme|amina|bruno|chantal|david|operator|referrer-|campaign-|europe/|whatsapp\.|accounts\.|"
    r"relance \(|messages:|message\.|\"|\["
)


class Words(HTMLParser):
    """The texts of a page that people see or have read to them."""

    def __init__(self, html):
        super().__init__()
        self.found, self.hidden = set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        # Icons are letters of a font; the template's own data is no text.
        icon = "material-symbols" in (attrs.get("class") or "")
        if tag in {"script", "style"} or icon:
            self.hidden.append(tag)
        for name in ("alt", "aria-label", "placeholder", "title"):
            self.handle_data(attrs.get(name) or "")

    def handle_endtag(self, tag):
        if self.hidden and self.hidden[-1] == tag:
            self.hidden.pop()

    def handle_data(self, data):
        text = " ".join(data.split())
        if not self.hidden and re.search(r"[a-z]{2}", text):
            self.found.add(text)


def alike(client, path):
    """What the English and the French page say alike, names apart."""
    said = {}
    for language in ("en", "fr"):
        answer = client.get(path, headers={"Accept-Language": language})
        assert answer.status_code == 200, path
        said[language] = Words(answer.content.decode()).found
    return {
        text
        for text in said["en"] & said["fr"]
        if text.casefold() not in SAME and not NAMES.search(text.casefold())
    }


@pytest.fixture
def operator(db, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    user = User.objects.create_superuser("operator")
    acme = factories.make_tenant("acme", name="Acme")
    for name in ("amina", "bruno", "chantal", "david"):
        factories.make_referrer(acme, external_id=name, name=name.title())
    fill(acme, rows=3)
    return logged_in(user)


def test_the_admin_is_french(operator):
    found = {}
    paths = [reverse("admin:index")]
    for model in admin.site._registry:
        if model._meta.app_label not in {"accounts", "whatsapp", "campaigns"}:
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths.append(reverse(f"{name}_changelist"))
        row = model._default_manager.first()
        if row is not None:
            paths.append(reverse(f"{name}_change", args=[row.pk]))
    for path in paths:
        if gaps := alike(operator, path):
            found[path] = gaps

    assert len(paths) > 30
    assert found == {}


def test_the_admin_lets_people_choose_their_language(operator):
    page = operator.get("/admin/", headers={"Accept-Language": "en"}).content.decode()
    assert 'action="/language/setlang/"' in page
    assert 'value="fr"' in page

    operator.post("/language/setlang/", {"language": "fr", "next": "/admin/"})

    assert "Vue d’ensemble" in operator.get("/admin/").content.decode()


@pytest.mark.parametrize("state", STATES)
def test_the_referrers_page_is_french(db, state):
    acme = companies.acme()
    STATES[state](acme)

    names = set(Referral.objects.values_list("name", flat=True))
    said = alike(logged_in(acme.people["amina"]), "/") - names

    assert {text for text in said if not text.startswith("Bonjour")} == set()


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_logging_in_is_french(client, db, path):
    assert alike(client, path) == set()


def test_times_are_said_in_french(db):
    with override("fr"):
        referrer = STATES["paused"](companies.acme())
        page = logged_in(referrer.user).get("/", headers={"Accept-Language": "fr"}).content.decode()

    assert "depuis aujourd’hui à" in " ".join(page.split())


# ------------------------------------------------------------------ what the check of lint finds


def catalogue(text, french, **more):
    made = Catalog(locale="fr")
    return made, made.add(text, french, **more)


@pytest.mark.parametrize(
    ("text", "french", "wrong"),
    [
        ("Save", "", "not translated"),
        ("Save %(name)s", "Enregistrer %(nom)s", "other placeholders"),
        ("Save %d", "Enregistrer %s", "format placeholders"),
        ("Save?", "Enregistrer ?", "a space that may break"),
        ("“Save”", "« Enregistrer »", "a space that may break"),
        (("%d text", "%d texts"), ("%d texte", ""), "not translated"),
        (("%(n)s text", "%(n)s texts"), ("un texte", "des textes"), "other placeholders"),
    ],
)
def test_a_translation_that_is_wrong_is_found(text, french, wrong):
    made, message = catalogue(text, french)

    found = list(translations.wrong_with(message, made))

    assert any(wrong in line or "incompatible" in line for line in found), found


def test_a_translation_that_is_right_passes():
    made, message = catalogue(("one text", "%(n)s texts"), ("un texte", "%(n)s textes\u00a0!"))

    assert list(translations.wrong_with(message, made)) == []
