"""Every setting of Swarm, read from the environment (or a `.env` file) in this one place.

`python manage.py check` explains what is wrong with a value (see `swarm/checks.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import environ
import structlog
from django.core.management.utils import get_random_secret_key

from swarmsite.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(BASE_DIR / ".env")
environment = Environment(environ.Env())

# What the team works on

SWARM_WORKSPACE = environment.text("SWARM_WORKSPACE")
SWARM_STORIES = environment.text("SWARM_STORIES")
SWARM_CHECK_COMMAND = environment.text("SWARM_CHECK_COMMAND")

# The model

SWARM_CHAT_BASE_URL = environment.text("SWARM_CHAT_BASE_URL", "https://api.openai.com/v1")
SWARM_CHAT_API_KEY = environment.text("SWARM_CHAT_API_KEY")
SWARM_CHAT_MODEL = environment.text("SWARM_CHAT_MODEL")
SWARM_CHAT_MODELS = environment.words("SWARM_CHAT_MODELS", [])
SWARM_CHAT_URL = environment.text("SWARM_CHAT_URL")
SWARM_PRICES = environment.prices("SWARM_PRICES")
SWARM_MAX_IN_FLIGHT = environment.whole_number("SWARM_MAX_IN_FLIGHT", 0, at_least=0)
SWARM_RPM = environment.whole_number("SWARM_RPM", 0, at_least=0)
SWARM_TPM = environment.whole_number("SWARM_TPM", 0, at_least=0)
SWARM_CALL_TIMEOUT = environment.seconds("SWARM_CALL_TIMEOUT", 600, at_least=1)

# The engine

SWARM_MAX_DEVELOPERS = environment.whole_number("SWARM_MAX_DEVELOPERS", 64, at_least=1)
SWARM_NODE_TIMEOUT = environment.seconds("SWARM_NODE_TIMEOUT", 3600, at_least=1)
SWARM_NODE_LEASE = environment.seconds("SWARM_NODE_LEASE", 15, at_least=0.3)
SWARM_CHECK_TIMEOUT = environment.seconds("SWARM_CHECK_TIMEOUT", 600, at_least=1)
SWARM_DRAIN_TIMEOUT = environment.seconds("SWARM_DRAIN_TIMEOUT", 8, at_least=0)
SWARM_LOCK_TTL = environment.seconds("SWARM_LOCK_TTL", 300, at_least=1)
SWARM_LOCK_WAIT = environment.seconds("SWARM_LOCK_WAIT", 1800, at_least=1)
SWARM_RETENTION_DAYS = environment.whole_number("SWARM_RETENTION_DAYS", 90, at_least=0)
SWARM_DEMO_DIRECTORY = environment.text("SWARM_DEMO_DIRECTORY")

# Django

SECRET_KEY_IS_TEMPORARY = not environment.text("SECRET_KEY")
SECRET_KEY = environment.text("SECRET_KEY") or get_random_secret_key()
DEBUG = environment.flag("DEBUG", False)
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS", [])
REDIS_URL = environment.text("REDIS_URL")

# Served over HTTPS as soon as a public origin says so; on loopback cookies must travel over HTTP.
IS_SERVED_OVER_HTTPS = any(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_SERVED_OVER_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_SERVED_OVER_HTTPS else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_SERVED_OVER_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_SERVED_OVER_HTTPS
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 << 20  # bytes; a chat request holds a whole conversation

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "ninja",
    "swarm",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "swarmsite.urls"
ASGI_APPLICATION = "swarmsite.asgi.application"

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
                "swarm.web.context.model_notice",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    """SQLite in WAL mode with IMMEDIATE transactions, or PostgreSQL behind psycopg's pool (reasons: README)."""
    embedded = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}
    database = environment.database("DATABASE_URL", embedded)
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        # SQLite's in-memory test database cannot be shared by threads.
        database["TEST"] = {"NAME": f"{database['NAME']}.test"}
    else:
        options = database.setdefault("OPTIONS", {})
        options["pool"] = {"min_size": 1, "max_size": SWARM_MAX_DEVELOPERS + 16, "timeout": 30}
        # A process that is frozen inside a transaction would hold its row locks past the leases of its nodes.
        options.setdefault("options", "-c idle_in_transaction_session_timeout=15s")
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}}
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
# Without REDIS_URL there is one process, in which the in-memory cache counts right; with it, Redis is shared.
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.E003", "django_ratelimit.W001"]

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "executions"
LOGOUT_REDIRECT_URL = "sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

SWARM_LOG_LEVEL = environment.choice("SWARM_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "events": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(
                    [structlog.dev.ConsoleRenderer()]
                    if sys.stderr.isatty()
                    else [
                        structlog.processors.format_exc_info,
                        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
                    ]
                ),
            ],
            "foreign_pre_chain": [
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "events"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"swarm": {"level": SWARM_LOG_LEVEL}, "django.server": {"level": "WARNING"}},
}
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
