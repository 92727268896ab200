from django.urls import path

from whatsapp.api import agents, groups

app_name = "agents"
_AGENT = "<slug:tenant>/<slug:agent>/"
urlpatterns = [
    path("groups", groups.MarketingGroupsView.as_view(), name="groups"),
    path("groups/<int:pk>", groups.MarketingGroupView.as_view(), name="group"),
    path(
        "groups/<int:pk>/scrape-contacts",
        groups.MarketingGroupScrapeView.as_view(),
        name="group-scrape",
    ),
    path(
        "accounts/<int:pk>/groups/discover",
        groups.MarketingGroupDiscoveryView.as_view(),
        name="groups-discover",
    ),
    path("<slug:tenant>/connections", agents.AgentConnectionsView.as_view(), name="connections"),
    path(_AGENT + "connect", agents.AgentConnectView.as_view(), name="connect"),
    path(_AGENT + "status", agents.AgentStatusView.as_view(), name="status"),
    path(_AGENT + "disconnect", agents.AgentDisconnectView.as_view(), name="disconnect"),
    path(_AGENT + "send", agents.AgentSendView.as_view(), name="send"),
    path(_AGENT + "messages", agents.AgentMessagesView.as_view(), name="messages"),
]
