# One image for every role: web, workers, beat, migrations. compose.yaml says which runs what.

# --- wa-js, from the lock file -----------------------------------------------------------------
FROM node:22-bookworm-slim AS page
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts

# --- Python packages, from the lock file ---------------------------------------------------------
FROM python:3.12-slim-bookworm AS packages
COPY requirements/base.txt /build/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /build/base.txt

# --- what runs -----------------------------------------------------------------------------------
FROM python:3.12-slim-bookworm
# Chromium and ChromeDriver from one source, so that they always are of one version.
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium chromium-driver fonts-liberation \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 relance \
    && install -d -o relance -g relance -m 0700 \
    /var/lib/relance/media /var/lib/relance/profiles /var/lib/relance/archives
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/relance
COPY --from=page /build/node_modules ./node_modules
COPY . .
# In place: Celery finds our sub-commands by the metadata of what is installed.
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index --editable .
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=relance_project.settings \
    MEDIA_ROOT=/var/lib/relance/media \
    WHATSAPP_SESSION_PATH=/var/lib/relance/profiles \
    PROFILE_ARCHIVE_PATH=/var/lib/relance/archives \
    CHROMIUM_BINARY=/usr/bin/chromium \
    CHROMEDRIVER_BINARY=/usr/bin/chromedriver
# Static files are part of the image. Settings want secrets and servers; these end with the command
# and none of them is stored.
RUN random() { python -c 'import secrets; print(secrets.token_hex(32))'; } \
    && SECRET_KEY=$(random) JWT_SIGNING_KEY=$(random) WHATSAPP_SESSION_SECRET=$(random) \
       DATABASE_URL=postgresql:///none REDIS_URL=redis:///0 \
       python manage.py collectstatic --noinput
USER relance
EXPOSE 8000
CMD ["gunicorn", "relance_project.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "16"]
# For the web role; compose.yaml gives each other role its own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "scripts/healthcheck.py"]
