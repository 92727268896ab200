"""`/api/whatsapp/accounts|groups|messages|stats`: the routes that marketing's tools know."""

from django.urls import path

from whatsapp.api import stats

urlpatterns = [
    path("stats", stats.StatsTotalsView.as_view(), name="marketing-stats"),
]
