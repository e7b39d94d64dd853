"""Addresses of signing in; included at the root by desk.urls."""

from django.urls import path

from desk.accounts import views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
    path("sign-out/", views.SignOut.as_view(), name="sign_out"),
    path("sign-in/once/<str:token>/", views.link, name="link"),
]
