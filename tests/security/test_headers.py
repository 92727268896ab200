"""What browsers are told: nothing from other hosts, nothing inline where that can be helped."""

import os
import secrets
import shutil
import subprocess
import sys

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from accounts.models import User
from relance_project import headers
from tests.accounts.test_secrets import GOOD, REPOSITORY
from tests.security.routes import all_routes

PAGE = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; media-src 'self'; manifest-src 'self'"
)
CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SNAPSHOT = {
    "/login/": PAGE,
    "/admin/login/": (
        PAGE.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
        .replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
        .replace("data:", "data: blob:")
    ),
    "/api/docs/": PAGE.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
    "/api/schema/": CLOSED,
    "/api/relance/status": CLOSED,
    "/healthz": CLOSED,
    "/nowhere": PAGE,
    "/api/nowhere": CLOSED,
    "/static/referrer/icon.svg": CLOSED,
}


@pytest.mark.parametrize("address", SNAPSHOT)
def test_the_policy_of_each_kind_of_answer_is_this(db, address):
    answer = Client().get(address)

    assert answer["Content-Security-Policy"] == SNAPSHOT[address]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Permissions-Policy"] == headers.PERMISSIONS


@pytest.mark.parametrize("address", [a for a in SNAPSHOT if not a.startswith("/static/")])
def test_answers_are_framed_by_nobody_and_name_no_referrer(db, address):
    answer = Client().get(address)

    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_no_policy_names_another_host():
    for policy in (headers.CLOSED, headers.PAGE, headers.INLINE_STYLES, headers.ADMIN):
        for sources in policy.values():
            assert set(sources.split()) <= {
                "'none'", "'self'", "data:", "blob:", "'unsafe-inline'", "'unsafe-eval'",
            }  # fmt: skip
        assert "'unsafe-inline'" not in policy.get("script-src", "")


@pytest.mark.parametrize("name", ["__Host-x\r\nSet-Cookie: a=b", "a\nb"])
def test_a_name_from_outside_splits_no_header(db, name):
    answer = Client().get("/", {"next": name}, headers={"X-Tenant": "acme"})

    assert "a=b" not in str(answer.headers)
    assert "\n" not in str(list(answer.headers.values()))


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)",
     "https:evil.example", "\thttps://evil.example", "///evil.example", "/%09/evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("door", ["/login/", "/admin/login/", "/language/setlang/"])
def test_after_logging_in_nobody_is_sent_elsewhere(db, door, elsewhere, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("operator", password="a long enough password")

    answer = Client().post(
        f"{door}",
        {"username": "operator", "password": "a long enough password", "next": elsewhere,
         "language": "fr"},
    )  # fmt: skip

    assert answer.status_code == 302
    place = answer["Location"]
    assert place.startswith("/")
    assert not place.startswith(("//", "/\\"))


def test_a_session_gets_a_new_id_when_somebody_logs_in(db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("operator", password="a long enough password")
    victim = Client()
    victim.cookies["sessionid"] = planted = "a" * 32

    victim.post("/admin/login/", {"username": "operator", "password": "a long enough password"})

    assert victim.cookies["sessionid"].value != planted
    assert victim.cookies["sessionid"]["httponly"]
    assert victim.cookies["sessionid"]["samesite"] == "Lax"


@pytest.mark.parametrize("route", [r for r in all_routes() if r.path.startswith("/api/")], ids=str)
def test_no_route_of_the_api_takes_a_browsers_session(route):
    """So that no other site can make a browser call it: what it needs is a header."""
    names = {found.__name__ for found in route.view_class.authentication_classes}

    assert not names & {"SessionAuthentication", "BasicAuthentication"}


def test_the_deployment_check_is_clean_behind_https():
    environment = {
        name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}
    }
    environment |= {
        **GOOD,
        "HTTPS": "true",
        "ALLOWED_HOSTS": "relance.example",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "WHATSAPP_SESSION_SECRET": secrets.token_urlsafe(48),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


# --------------------------------------------------------------------------- in a real browser


@pytest.fixture
def chromium(tmp_path):
    options = webdriver.ChromeOptions()
    options.add_argument("--headless=new")
    options.add_argument("--window-size=1400,1000")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own condition for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def complaints(driver):
    """What the browser has refused since it was asked last."""
    return [
        entry["message"]
        for entry in driver.get_log("browser")
        if "Content Security Policy" in entry["message"] or "favicon" in entry["message"]
    ]


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_no_page_does_what_its_policy_forbids(chromium, live_server, tmp_path, settings):
    from tests import companies
    from tests.admin.test_pages import fill

    settings.MEDIA_ROOT = tmp_path / "media"
    acme = companies.acme()
    fill(acme.tenant)
    acme.make_referrer("amina")
    User.objects.create_superuser("operator", password="a long enough password")
    wait = WebDriverWait(chromium, 30)

    def visit(path):
        chromium.get(live_server.url + path)
        wait.until(lambda d: d.execute_script("return document.readyState") == "complete")

    def log_in(path, name, password):
        visit(path)
        chromium.find_element(By.NAME, "username").send_keys(name)
        chromium.find_element(By.NAME, "password").send_keys(password)
        chromium.find_element(By.NAME, "password").send_keys(Keys.ENTER)
        wait.until(lambda d: "login" not in d.current_url)

    found = {}
    log_in("/login/", "amina", companies.PASSWORD)
    found["/"] = complaints(chromium)
    visit("/api/docs/")
    wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".opblock"))
    found["/api/docs/"] = complaints(chromium)
    chromium.delete_all_cookies()
    log_in("/admin/login/", "operator", "a long enough password")
    found["/admin/"] = complaints(chromium)
    for model in admin.site._registry:
        if model._meta.app_label not in {"accounts", "campaigns", "whatsapp"}:
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.order_by("pk").first()
        for path in [
            reverse(f"{name}_changelist"),
            *([reverse(f"{name}_change", args=[row.pk])] if row else []),
        ]:
            visit(path)
            found[path] = complaints(chromium)
    assert {path: said for path, said in found.items() if said} == {}
    assert len(found) > 20

    # The policy is in force, and the test would have seen it.
    visit("/login/")
    chromium.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        "document.body.append(s); const i = new Image(); i.src = 'https://evil.example/x.png';"
        "document.body.append(i);"
    )
    wait.until(complaints)
    assert chromium.execute_script("return window.hacked") is None
