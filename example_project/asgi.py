"""The site for an ASGI server: `uvicorn example_project.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

application = get_asgi_application()

from app_metrics.contrib.asgi import flushing  # noqa: E402 - after Django is set up

# Write the buffer and the retry queue when the server stops.
application = flushing(application)
