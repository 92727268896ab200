from django.urls import path

from campaigns.api import relance

app_name = "relance"
urlpatterns = [
    path("connect", relance.ConnectView.as_view(), name="connect"),
    path("status", relance.StatusView.as_view(), name="status"),
    path("disconnect", relance.DisconnectView.as_view(), name="disconnect"),
    path("pause", relance.PauseView.as_view(), name="pause"),
    path("admin/messages", relance.DaysView.as_view(), name="days"),
    path("admin/messages/<int:day>", relance.DayView.as_view(), name="day"),
    path("internal/exit-user", relance.ExitUserView.as_view(), name="exit-user"),
]
