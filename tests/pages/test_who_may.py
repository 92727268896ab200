"""Logging in, and whose page it is."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Activity, Membership, User
from tests import companies
from tests.visitors import logged_in

HTMX = {"HX-Request": "true"}


def log_in(client, name="amina", password=companies.PASSWORD, **more):
    return client.post("/login/", {"username": name, "password": password, **more})


def test_somebody_logs_in_sees_their_page_and_logs_out(acme):
    acme.make_referrer("amina")
    client = Client()

    assert client.get("/").url == "/login/?next=/"
    assert log_in(client, next="/").url == "/"
    assert "Hello Amina" in client.get("/").content.decode()
    assert client.post("/logout/").url == "/login/"
    assert client.get("/").status_code == 302


def test_a_wrong_password_is_told_without_saying_whether_the_name_exists(acme):
    wrong = log_in(Client(), password="guess").content.decode()
    unknown = log_in(Client(), name="nobody", password="guess").content.decode()

    assert 'role="alert"' in wrong
    for page in (wrong, unknown):
        assert "correct username and password" in page


def test_guessing_is_stopped_even_with_the_right_password_at_last(acme):
    client = Client()
    for _ in range(10):
        log_in(client, password="guess")

    answer = log_in(client)

    assert "Too many attempts" in answer.content.decode()
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_logging_in_leads_to_no_other_site(acme, next_page):
    acme.make_referrer("amina")

    assert log_in(Client(), next=next_page).url == "/"


@pytest.mark.parametrize("name", ["", "\x00", "a" * 10_000, "' OR 1=1 --"])
def test_hostile_names_log_nobody_in(acme, name):
    client = Client()

    assert log_in(client, name=name).status_code == 200
    assert "_auth_user_id" not in client.session


def test_a_log_in_form_of_another_site_is_refused(acme):
    client = Client(enforce_csrf_checks=True)

    assert log_in(client).status_code == 403


@pytest.mark.parametrize("path", ["/account/", "/people/"])
def test_a_part_asked_for_after_logging_out_reloads_the_page(acme, path):
    answer = Client().get(path, headers=HTMX)

    assert answer["HX-Refresh"] == "true"
    assert answer.content == b""


def test_staff_who_land_here_are_shown_the_way_to_the_admin(acme):
    staff = User.objects.create_user("sven", password=companies.PASSWORD, is_staff=True)

    page = logged_in(staff).get("/").content.decode()

    assert 'href="/admin/"' in page


def test_a_user_who_refers_nobody_is_told_whom_to_ask(acme):
    page = logged_in(acme.people["max"]).get("/").content.decode()

    assert "You are not a referrer yet" in page
    assert "Ask Acme" in page


def test_a_referrer_who_left_the_company_sees_nothing_of_it(acme):
    acme.make_referrer("amina", status="connected", phone="+33639980142", linked_at=timezone.now())
    Membership.objects.filter(user=acme.people["amina"]).delete()
    amina = logged_in(acme.people["amina"])

    assert "no longer belong to this company" in amina.get("/").content.decode()
    assert amina.get("/account/").url == "/"
    assert amina.post("/disconnect/").url == "/"
    assert amina.get("/people/", headers=HTMX)["HX-Refresh"] == "true"


@pytest.mark.parametrize("path", ["/link/", "/sending/", "/enrolment/"])
def test_what_changes_something_cannot_be_a_link(acme, path):
    acme.make_referrer("amina")

    assert logged_in(acme.people["amina"]).get(path).status_code == 405


def test_somebody_changes_their_password_and_stays(acme):
    acme.make_referrer("amina")
    amina = logged_in(acme.people["amina"])
    new = "a new one, and long"

    answer = amina.post(
        "/password/",
        {"old_password": companies.PASSWORD, "new_password1": new, "new_password2": new},
        follow=True,
    )

    assert "Your password is changed" in answer.content.decode()
    assert log_in(Client()).status_code == 200, "the old one no longer opens"
    assert log_in(Client(), password=new).status_code == 302
    (line,) = Activity.objects.filter(verb="password_changed")
    assert (line.actor_name, line.tenant) == ("amina", acme.tenant)


def test_a_session_left_open_is_no_good_for_guessing_the_password(acme):
    amina, new = logged_in(acme.people["amina"]), "a new one, and long"
    fields = {"new_password1": new, "new_password2": new}
    for n in range(10):
        amina.post("/password/", {"old_password": f"guess {n}", **fields})

    page = amina.post("/password/", {"old_password": companies.PASSWORD, **fields})

    assert "Too many attempts" in page.content.decode()
    acme.people["amina"].refresh_from_db()
    assert acme.people["amina"].check_password(companies.PASSWORD)


def test_staff_change_their_password_on_the_same_page(acme):
    acme.people["max"].is_staff = True
    acme.people["max"].save()
    max_, new = logged_in(acme.people["max"]), "a new one, and long"

    assert max_.get("/admin/password_change/").url == "/password/"
    changed = max_.post(
        "/password/",
        {"old_password": companies.PASSWORD, "new_password1": new, "new_password2": new},
    )

    assert changed.url == "/admin/"
    assert max_.get("/admin/").status_code == 200, "the session goes on"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"old_password": "guess"}, "incorrect"),
        ({"new_password1": "short", "new_password2": "short"}, "too short"),
        ({"new_password2": "another"}, "match"),
        ({}, "required"),
    ],
)
def test_a_password_that_cannot_be_taken_says_why(acme, given, words):
    new = "a new one, and long"
    fields = {"old_password": companies.PASSWORD, "new_password1": new, "new_password2": new}
    amina = logged_in(acme.people["amina"])

    page = amina.post("/password/", {**fields, **given} if given else {}).content.decode()

    assert words in page
    assert log_in(Client()).status_code == 302, "the old one opens still"


def test_the_language_is_chosen_and_kept(acme):
    acme.make_referrer("amina")
    amina = logged_in(acme.people["amina"])

    answer = amina.post("/language/setlang/", {"language": "fr", "next": "/"})

    assert answer.url == "/"
    assert '<html lang="fr">' in amina.get("/").content.decode()


def test_the_admin_keeps_its_own_log_in(acme):
    assert Client().get("/admin/", follow=True).request["PATH_INFO"] == "/admin/login/"
