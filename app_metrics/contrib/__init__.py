"""Record without calls: rules for URLs, models and signals, auth, `@track`, Celery, `django.tasks`, ASGI."""
