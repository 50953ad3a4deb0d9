"""Print what curl would, from the project of the current folder instead of a server."""

import argparse
import logging
import os
import sys
from urllib.parse import urlsplit

import django

parser = argparse.ArgumentParser()
parser.add_argument("url", type=urlsplit)
parser.add_argument("-H", dest="headers", action="append", default=[])
parser.add_argument("-L", dest="follow", action="store_true")
options = parser.parse_args()
logging.disable()  # that is the log of the server

sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()

from django.test import Client  # noqa: E402 - after Django is set up

headers = {"Host": options.url.netloc, **dict(header.split(": ") for header in options.headers)}
path = options.url._replace(scheme="", netloc="").geturl()
answer = Client(headers=headers).get(path, secure=options.url.scheme == "https", follow=options.follow)
sys.stdout.write(answer.content.decode())
