from django.urls import path

from accounts import api_v1

urlpatterns = [
    path("api-keys", api_v1.KeysView.as_view(), name="api-keys"),
    path("api-keys/<int:pk>", api_v1.KeyView.as_view(), name="api-key"),
    path("activity", api_v1.ActivityView.as_view(), name="activity"),
]
