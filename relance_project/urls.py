"""Addresses of the web process."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from relance_project import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    # Browsers ask for it wherever a page names none.
    path("favicon.ico", RedirectView.as_view(url=static("referrer/icon.svg")), name="favicon"),
    path("", include("campaigns.pages.urls")),
    path("language/", include("django.conf.urls.i18n")),
    # One way to change one's password: it ends tokens, is limited and recorded.
    path("admin/password_change/", RedirectView.as_view(pattern_name="pages:password")),
    path("admin/", admin.site.urls),
    path("api/auth/", include("accounts.urls")),
    path("api/v1/", include("accounts.urls_v1")),
    path("api/v1/", include("whatsapp.urls_v1")),
    path("api/v1/", include("campaigns.urls_v1")),
    path("api/whatsapp/", include("whatsapp.urls_marketing")),
    path("api/whatsapp/", include("whatsapp.urls")),
    path("api/relance/", include("campaigns.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]

handler400 = "accounts.problems.bad_request"
handler404 = "accounts.problems.page_not_found"
handler500 = "accounts.problems.server_error"
