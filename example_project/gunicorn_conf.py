"""For `gunicorn --config example_project/gunicorn_conf.py example_project.wsgi`."""

workers = 2
threads = 4
# An idle connection is kept for longer than a visitor pauses.
keepalive = 60
loglevel = "warning"
# Newer gunicorns open a socket in the home folder for a tool that this site does not use.
control_socket_disable = True
