from django.urls import path

from campaigns import api

app_name = "relance"
urlpatterns = [
    path("connect", api.ConnectView.as_view(), name="connect"),
    path("status", api.StatusView.as_view(), name="status"),
    path("disconnect", api.DisconnectView.as_view(), name="disconnect"),
    path("pause", api.PauseView.as_view(), name="pause"),
    path("admin/messages", api.DaysView.as_view(), name="days"),
    path("admin/messages/<int:day>", api.DayView.as_view(), name="day"),
    path("internal/exit-user", api.ExitUserView.as_view(), name="exit-user"),
]
