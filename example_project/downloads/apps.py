from django.apps import AppConfig


class DownloadsConfig(AppConfig):
    name = "example_project.downloads"
