"""Addresses of signing in and of one's own account; included at the root by desk.urls."""

from django.urls import path

from desk.accounts import views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
    path("sign-out/", views.SignOut.as_view(), name="sign_out"),
    path("sign-in/once/<str:token>/", views.link, name="link"),
    path("account/", views.account, name="account"),
    path("account/password/", views.password, name="password"),
    path("account/sign-out-others/", views.sign_out_others, name="sign_out_others"),
    path("account/confirm/", views.confirm, name="confirm"),
]
