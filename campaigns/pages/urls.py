"""Addresses of the referrer's page, at the root of the site."""

from django.contrib.auth import views as auth
from django.urls import path

from accounts.forms import LimitedLogIn
from campaigns.pages import views

app_name = "pages"
urlpatterns = [
    path("", views.Home.as_view(), name="home"),
    path(
        "login/",
        auth.LoginView.as_view(
            template_name="referrer/login.html",
            authentication_form=LimitedLogIn,
            redirect_authenticated_user=True,
        ),
        name="login",
    ),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/", views.Password.as_view(), name="password"),
    path("account/", views.AccountPart.as_view(), name="account"),
    path("people/", views.PeoplePart.as_view(), name="people"),
    path("link/", views.Link.as_view(), name="link"),
    path("disconnect/", views.Disconnect.as_view(), name="disconnect"),
    path("sending/", views.Sending.as_view(), name="sending"),
    path("enrolment/", views.Enrolment.as_view(), name="enrolment"),
    path("messages/<uuid:public_id>/settle/", views.Settle.as_view(), name="settle"),
]
