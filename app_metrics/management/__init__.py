"""Run from `manage.py`: the commands, and the arguments, output and progress that they share."""
