from django.urls import path

from whatsapp.api import agents

app_name = "agents"
_AGENT = "<slug:tenant>/<slug:agent>/"
urlpatterns = [
    path("<slug:tenant>/connections", agents.AgentConnectionsView.as_view(), name="connections"),
    path(_AGENT + "connect", agents.AgentConnectView.as_view(), name="connect"),
    path(_AGENT + "status", agents.AgentStatusView.as_view(), name="status"),
    path(_AGENT + "disconnect", agents.AgentDisconnectView.as_view(), name="disconnect"),
    path(_AGENT + "send", agents.AgentSendView.as_view(), name="send"),
    path(_AGENT + "messages", agents.AgentMessagesView.as_view(), name="messages"),
]
