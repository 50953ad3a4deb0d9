"""The small site with a consumer of Channels, for real servers."""

from tests.support.small_site import pages  # first: it configures Django

# isort: split
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from app_metrics import metric
from app_metrics.contrib.asgi import counting, flushing


class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        metric("echoes")
        self.send(text_data)


class AsyncEcho(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content):
        metric("echoes")
        await self.send_json(content)


routes = [
    path("ws/echo/<str:room>/", counting(Echo.as_asgi())),
    path("ws/aecho/<str:room>/", counting(AsyncEcho.as_asgi())),
]
asgi = flushing(ProtocolTypeRouter({"http": pages, "websocket": URLRouter(routes)}))
