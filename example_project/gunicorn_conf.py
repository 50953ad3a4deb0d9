"""For `gunicorn --config example_project/gunicorn_conf.py example_project.wsgi`."""

workers = 2
threads = 4
# Seconds. Idle connections outlive a visitor's pauses.
keepalive = 60
loglevel = "warning"
# Newer gunicorns open a control socket in the home folder, which this site does not use.
control_socket_disable = True
