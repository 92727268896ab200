from django.urls import path

from accounts import api

app_name = "auth"
urlpatterns = [
    path("token", api.LogInView.as_view(), name="token"),
    path("token/refresh", api.RefreshView.as_view(), name="refresh"),
    path("password", api.PasswordView.as_view(), name="password"),
    path("logout", api.LogOutView.as_view(), name="logout"),
]
