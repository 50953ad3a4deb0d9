"""Take over the database of the predecessor, django-app-metrics 0.9 and its forks."""
