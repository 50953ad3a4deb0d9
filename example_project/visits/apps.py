from django.apps import AppConfig


class VisitsConfig(AppConfig):
    name = "example_project.visits"
