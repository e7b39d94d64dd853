"""How the admin looks: the desk's colours, its groups of pages, the badge PAPER.  Read by the settings; no logic.

The scales are the desk's design tokens stretched over the library's steps; every text keeps 4.5 : 1.
"""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def environment(request: HttpRequest) -> tuple[str, str]:
    """The badge on every page: this desk knows paper alone."""
    return "PAPER", "success"


def icon(request: HttpRequest) -> str:
    return static("desk/icon.svg")


def styles(request: HttpRequest) -> str:
    return static("config/admin.css")


def may_add_people(request: HttpRequest) -> bool:
    from desk.accounts.roles import may  # not before the apps are loaded

    return may(request.user, "people")


def _list(title: str, model: str, symbol: str) -> dict[str, Any]:
    return {"title": title, "icon": symbol, "link": reverse_lazy(f"admin:{model}_changelist")}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Scalpdesk",
    "SITE_HEADER": "Scalpdesk",
    "SITE_SUBHEADER": "configuration and records",
    "SITE_URL": "/desk/",
    "SITE_ICON": icon,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": icon}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "ENVIRONMENT": environment,
    "DASHBOARD_CALLBACK": "desk.config.selectors.overview",
    "STYLES": [styles],
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "base": {
            "50": "#F4F6F9", "100": "#E8EDF4", "200": "#D8DFE8", "300": "#B3C0D0", "400": "#8B99AC", "500": "#5A6878",
            "600": "#3D4A5C", "700": "#2B3848", "800": "#1C2734", "900": "#121A24", "950": "#0B1017",
        },
        "primary": {
            "50": "#E3F6F3", "100": "#C2EBE4", "200": "#8FDBCE", "300": "#5ACDBB", "400": "#3CC9B5", "500": "#2CC5B0",
            "600": "#00756A", "700": "#00695C", "800": "#00524A", "900": "#003D37", "950": "#002824",
        },
    },
    "ACCOUNT": {"navigation": [{"title": "Account", "link": reverse_lazy("accounts:account")}]},
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": "To the Desk", "icon": "candlestick_chart", "link": "/desk/"},
                    {"title": "Kill page", "icon": "emergency_home", "link": "/kill/"},
                ]
            },
            {
                "title": "Configuration",
                "separator": True,
                "items": [
                    _list("Versions", "trading_configversion", "tune"),
                    {"title": "Compare", "icon": "difference", "link": reverse_lazy("admin:config_diff")},
                    {"title": "Import YAML", "icon": "upload_file", "link": reverse_lazy("admin:config_import")},
                ],
            },
            {
                "title": "Ledger",
                "separator": True,
                "items": [
                    _list("Sessions", "trading_session", "play_circle"),
                    _list("Orders", "trading_order", "list_alt"),
                    _list("Fills", "trading_fill", "done_all"),
                    _list("Round trips", "trading_trade", "sync_alt"),
                    _list("Decisions", "trading_decision", "rule"),
                    _list("Holds", "trading_holdevent", "block"),
                    _list("Commands", "trading_command", "terminal"),
                    _list("Accounts", "trading_account", "account_balance"),
                ],
            },
            {
                "title": "Desk",
                "separator": True,
                "items": [
                    _list("Loops", "trading_looplease", "all_inclusive"),
                    _list("Data sets", "marketdata_dataset", "database"),
                    _list("Audit", "audit_auditrecord", "verified_user"),
                    _list("People", "auth_user", "group"),
                    {
                        "title": "Add a person",
                        "icon": "person_add",
                        "link": reverse_lazy("admin:people_add"),
                        "permission": may_add_people,
                    },
                    _list("Failed sign-ins", "axes_accessattempt", "gpp_maybe"),
                ],
            },
        ],
    },
}  # fmt: skip
