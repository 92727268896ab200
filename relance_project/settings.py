"""All settings, from the environment only. docs/reference/settings.md lists them.

A variable that is missing or unusable stops the start with its name and how to mend it. `make`
writes a `.env` with generated secrets for development; production sets the variables itself.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

from relance_project import local, logs, navigation, openapi
from relance_project.rounds import rounds
from whatsapp import quiet_hours

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env(eager=True)
env.read_env(str(BASE_DIR / ".env"), recurse=False)

# Values from documentation, examples and other people's repositories.
KNOWN_SECRETS = re.compile(
    r"(?i)change.?me|example|secret.?key|insecure|your[-_ ]|default|password|(.)\1{15}|0123456789"
)


def required_secret(name: str) -> str:
    """The secret `name`; refuses one that is missing, shorter than 32 bytes or from an example."""
    value: str = env.str(name, "")
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Generate one: "
            'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    if len(value.encode()) < 32:
        raise ImproperlyConfigured(f"{name} is shorter than 32 bytes: generate a longer one.")
    if KNOWN_SECRETS.search(value):
        raise ImproperlyConfigured(f"{name} looks like an example: generate one of your own.")
    return value


def positive(name: str, default: int, *, minimum: int = 1) -> int:
    try:
        value: int = env.int(name, default)
    except EnvError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number: {error}") from error
    if value < minimum:
        raise ImproperlyConfigured(f"{name} is {value}: it must be {minimum} or more.")
    return value


# -------------------------------------------------------------------------------- security

SECRET_KEY = required_secret("SECRET_KEY")
JWT_SIGNING_KEY = required_secret("JWT_SIGNING_KEY")
# The first encrypts, every one decrypts: that is how it is rotated.
required_secret("WHATSAPP_SESSION_SECRET")
WHATSAPP_SESSION_SECRETS: list[str] = [
    part.strip() for part in env.str("WHATSAPP_SESSION_SECRET").split(",") if part.strip()
]
if any(len(part.encode()) < 32 for part in WHATSAPP_SESSION_SECRETS):
    raise ImproperlyConfigured(
        "WHATSAPP_SESSION_SECRET: each secret of the list must be 32 bytes or longer."
    )
if len({SECRET_KEY, JWT_SIGNING_KEY, *WHATSAPP_SESSION_SECRETS}) < 3:
    raise ImproperlyConfigured(
        "SECRET_KEY, JWT_SIGNING_KEY and WHATSAPP_SESSION_SECRET must differ from each other."
    )

DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

# TLS ends at a proxy; on one machine, without one, cookies must work over http.
HTTPS = env.bool("HTTPS", False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

# ------------------------------------------------------------------------------------ mail

# As submission://user:password@host:587 (with TLS) or smtp://host; unset: nothing leaves this
# machine.
vars().update(env.dj_email_url("EMAIL_URL", "dummy://"))
if "EMAIL_BACKEND" not in vars():
    raise ImproperlyConfigured(
        "EMAIL_URL begins with a scheme that is not known: write submission://user:password@host "
        "for a server with TLS, or smtp://host for one without."
    )
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", "relance@localhost")

# ----------------------------------------------------------------------------- application

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_htmx",
    "accounts",
    "whatsapp",
    "campaigns",
]

MIDDLEWARE = [
    "relance_project.headers.browser_headers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.console.company_time",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "relance_project.urls"
WSGI_APPLICATION = "relance_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "pages:login"
LOGIN_REDIRECT_URL = "pages:home"
LOGOUT_REDIRECT_URL = "pages:login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
FORMAT_MODULE_PATH = ["relance_project.formats"]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", str(local.state_dir() / "media")))
MEDIA_URL = "media/"
# Saved browser profiles: any storage of Django's; hosts that share accounts must share it.
PROFILE_ARCHIVE_PATH = Path(
    env.str("PROFILE_ARCHIVE_PATH", str(local.state_dir() / "profile-archives"))
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "profiles": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": PROFILE_ARCHIVE_PATH,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}

# -------------------------------------------------------------------- PostgreSQL and Redis

# Unset: a PostgreSQL and a Redis of our own on this machine (relance_project/local.py).
DATABASE_URL: str = env.str("DATABASE_URL", "") or local.database_url()
REDIS_URL: str = env.str("REDIS_URL", "") or local.redis_url()

DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True),
        # A database that does not answer must not hold a thread for ever.
        "OPTIONS": {"connect_timeout": 5, "tcp_user_timeout": 10_000},
        "TEST": {"NAME": env.str("TEST_DATABASE_NAME", "test_relance")},
    }
}

# Everything of ours in Redis begins with this, so that one Redis can serve more than one system.
REDIS_PREFIX: str = env.str("REDIS_PREFIX", "relance:")

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": REDIS_PREFIX + "cache",
        # A frozen Redis must cost a page a second, not hang it.
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}

# ---------------------------------------------------------------------------------- Celery
# Reasons: docs/explanation/architecture.md, "Celery".

CELERY_BROKER_URL = local.broker_url(REDIS_URL)
CELERY_TASK_DEFAULT_QUEUE = "default"
# Here and not on the decorators: Celery drops that argument in 6.0.
CELERY_TASK_ROUTES = {
    "whatsapp.tasks.drive": {"queue": "browser"},
    # What waits for other people's systems, which may hang: docs/adr/0007.
    "whatsapp.tasks.answer": {"queue": "outside"},
    "whatsapp.tasks.tell_ended": {"queue": "outside"},
    "whatsapp.tasks.deliver_webhooks": {"queue": "outside"},
    "whatsapp.tasks.notify_owners": {"queue": "outside"},
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "global_keyprefix": REDIS_PREFIX,
}
CELERY_BROKER_CONNECTION_RETRY = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
# For the default worker; threads heed none, and what they do has deadlines of its own.
CELERY_TASK_TIME_LIMIT = 900
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "relance_project.scheduler:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
# Renewed by workers and beat while they work (scripts/healthcheck.py); empty: none.
HEARTBEAT_FILE: str = env.str("HEARTBEAT_FILE", "")
# Seconds between rounds; the demo and the tests shorten them.
ENROL_EVERY = positive("RELANCE_ENROL_EVERY", 3600)
PLAN_EVERY = positive("RELANCE_PLAN_EVERY", 60)
RECONCILE_EVERY = positive("RELANCE_RECONCILE_EVERY", 20)
SCORE_EVERY = positive("RELANCE_SCORE_EVERY", 600)
CELERY_BEAT_SCHEDULE = rounds(
    enrol=ENROL_EVERY, plan=PLAN_EVERY, reconcile=RECONCILE_EVERY, score=SCORE_EVERY
)

# -------------------------------------------------------------------------------- WhatsApp

# Which browser: full Chromium, or the smaller headless shell.
WHATSAPP_DRIVER: str = env.str("WHATSAPP_DRIVER", "chromium")
if WHATSAPP_DRIVER not in {"chromium", "chromium-headless-shell"}:
    raise ImproperlyConfigured(
        f"WHATSAPP_DRIVER is {WHATSAPP_DRIVER!r}: write chromium or chromium-headless-shell."
    )
WHATSAPP_WEB_URL: str = env.str("WHATSAPP_WEB_URL", "https://web.whatsapp.com/")
WHATSAPP_SESSION_PATH = Path(env.str("WHATSAPP_SESSION_PATH", str(local.state_dir() / "profiles")))
WA_JS_PATH = Path(
    env.str("WA_JS_PATH", str(BASE_DIR / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"))
)
CHROMIUM_BINARY: str = env.str("CHROMIUM_BINARY", "")
CHROMEDRIVER_BINARY: str = env.str("CHROMEDRIVER_BINARY", "")
CHROMIUM_EXTRA_FLAGS: list[str] = env.list("CHROMIUM_EXTRA_FLAGS", [])

# Defaults of an account; each can be set per account.
WHATSAPP_DAILY_LIMIT = positive(
    "WHATSAPP_DAILY_LIMIT", positive("RELANCE_MAX_MESSAGES_PER_DAY", 100, minimum=0), minimum=0
)
WHATSAPP_PER_MINUTE = positive("WHATSAPP_PER_MINUTE", 20)
WHATSAPP_GAP_MS = positive("RELANCE_MESSAGE_DELAY_MS", 3000, minimum=0)
# The pace that keeps a number from being restricted (docs/explanation/safe-pace.md). Off: each of
# these is off unless it is set itself; for simulations and tests of something else.
_CAREFUL = env.bool("WHATSAPP_SAFE_PACE", True)
WHATSAPP_JITTER_MS = positive("WHATSAPP_JITTER_MS", 2000 if _CAREFUL else 0, minimum=0)
WHATSAPP_TYPING_MS = positive("WHATSAPP_TYPING_MS", 2000 if _CAREFUL else 0, minimum=0)
WHATSAPP_NEW_CHATS = positive("WHATSAPP_NEW_CHATS", 30 if _CAREFUL else 1_000_000, minimum=0)
WHATSAPP_WARM_UP_DAYS = positive("WHATSAPP_WARM_UP_DAYS", 14 if _CAREFUL else 0, minimum=0)
WHATSAPP_WARM_UP_START = positive("WHATSAPP_WARM_UP_START", 20)
WHATSAPP_QUIET_HOURS: str = env.str("WHATSAPP_QUIET_HOURS", "21:00-08:00" if _CAREFUL else "off")
try:
    quiet_hours.read(WHATSAPP_QUIET_HOURS)
except ValueError as error:
    raise ImproperlyConfigured(f"WHATSAPP_QUIET_HOURS: {error}.") from error
# Below this score of 100 an account stops sending by itself; 0: never.
WHATSAPP_HEALTH_PAUSE_BELOW = positive(
    "WHATSAPP_HEALTH_PAUSE_BELOW", 60 if _CAREFUL else 0, minimum=0
)
WHATSAPP_HEALTH_STEP_HOURS = positive("WHATSAPP_HEALTH_STEP_HOURS", 12)
WHATSAPP_COLD_HOLD_HOURS = positive("WHATSAPP_COLD_HOLD_HOURS", 24)
# How long it is believed that a number is, or is not, on WhatsApp.
WHATSAPP_NUMBER_CHECK_DAYS = positive("WHATSAPP_NUMBER_CHECK_DAYS", 30, minimum=0)

WHATSAPP_MAX_SESSIONS = positive("RELANCE_MAX_CONCURRENT_SESSIONS", 50)
WHATSAPP_LINK_SECONDS = positive("WHATSAPP_LINK_SECONDS", 120)
WHATSAPP_OPEN_SECONDS = positive("WHATSAPP_OPEN_SECONDS", 60)
WHATSAPP_CALL_SECONDS = positive("WHATSAPP_CALL_SECONDS", 20)
WHATSAPP_SEND_SECONDS = positive("WHATSAPP_SEND_SECONDS", 30)
# A lease outlives a restart of PostgreSQL of some seconds without closing every browser.
WHATSAPP_LEASE_SECONDS = positive("WHATSAPP_LEASE_SECONDS", 30, minimum=10)
WHATSAPP_HEARTBEAT_SECONDS = positive("WHATSAPP_HEARTBEAT_SECONDS", 5)
if WHATSAPP_HEARTBEAT_SECONDS * 3 > WHATSAPP_LEASE_SECONDS:
    raise ImproperlyConfigured(
        "WHATSAPP_HEARTBEAT_SECONDS must be at most a third of WHATSAPP_LEASE_SECONDS: "
        "one late heartbeat must not lose a browser."
    )
# A browser that takes more (PSS, with its driver) is closed, saved and opened again.
WHATSAPP_MEMORY_MB = positive("WHATSAPP_MEMORY_MB", 900, minimum=200)
WHATSAPP_PROFILE_SAVE_SECONDS = positive("WHATSAPP_PROFILE_SAVE_SECONDS", 900)
WHATSAPP_MAX_RETRIES = positive("WHATSAPP_MAX_RETRIES", 3)
# A message that a synced profile does not know is sent again, with the same id. On only where
# somebody has checked that the page really forgets nothing: the simulator, so far.
RESEND_NOT_FOUND = env.bool("RESEND_NOT_FOUND", False)

# ------------------------------------------------------------------------------- campaigns

# HTTP user service (campaigns/user_service.py); empty: referrals come by CSV and API only.
USER_SERVICE_URL: str = env.str("USER_SERVICE_URL", "")
USER_SERVICE_SECRET: str = env.str("USER_SERVICE_SECRET", "")
# The old callers' plain bearer on /internal/exit-user; empty: signed calls only.
LEGACY_SERVICE_SECRET: str = (
    required_secret("LEGACY_SERVICE_SECRET") if env.str("LEGACY_SERVICE_SECRET", "") else ""
)
LEGACY_SERVICE_TENANT: str = env.str("LEGACY_SERVICE_TENANT", "")

# ------------------------------------------------------------------------------- retention

ACTIVITY_DAYS = positive("RELANCE_ACTIVITY_DAYS", 400)
MESSAGE_DAYS = positive("RELANCE_MESSAGE_DAYS", 400)
WEBHOOK_DAYS = positive("RELANCE_WEBHOOK_DAYS", 30)
# Webhooks at this machine's own addresses, on any port: for the demo and tests only.
WEBHOOK_ALLOW_LOCAL = env.bool("RELANCE_WEBHOOK_ALLOW_LOCAL", False)

# Where Retell's API is; tests and the demo have one of their own on this machine.
RETELL_URL = env.str("RELANCE_RETELL_URL", "https://api.retellai.com")

# ------------------------------------------------------------------------------------- API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "accounts.schema.Schema",
    "EXCEPTION_HANDLER": "accounts.problems.handle",
    # Proxies of ours that add to X-Forwarded-For; anybody may have written what is left of theirs.
    "NUM_PROXIES": positive("NUM_PROXIES", 1 if HTTPS else 0, minimum=0),
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": dt.timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": dt.timedelta(days=7),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "CHECK_REVOKE_TOKEN": True,  # a changed password ends every token
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "ALGORITHM": "HS256",
}
SPECTACULAR_SETTINGS = openapi.DESCRIPTION
UNFOLD = navigation.UNFOLD

# ------------------------------------------------------------------------------------ logs

LOGGING = logs.configured(level=env.str("LOG_LEVEL", "INFO"), as_json=env.bool("LOG_JSON", False))
