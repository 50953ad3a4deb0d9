"""The processes of the crash tests: `python -m tests.support.mail_sender ALIAS DATABASE PORT DAY ROLE …`.

All send reports as of a date to a mail server on a local port. `crash` reads lines of a metric set and a step, and for
each kills a sender of that set at that step. `race SENDERS` starts several senders at the same moment. `kill SECONDS`
keeps three senders running and repeatedly kills one with SIGKILL.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import date

from tests.support.processes import configure

SENDERS = 3
SECONDS_BETWEEN_KILLS = 0.12
# Senders are killed at this recipient's mail: the second of three.
VICTIM = "bob@example.com"


def main(alias, name, port, day, role, *arguments):
    from django.conf import settings

    from tests.support.mailserver import use

    use(settings, int(port))
    configure(alias, name)
    import app_metrics.reports.sending  # noqa: F401 - here, rather than in every child

    roles = {"crash": crash_at_each, "race": race, "kill": kill_senders}
    roles[role](date.fromisoformat(day), *arguments)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner, name, is_it=lambda *arguments: True):
    """Die after a function has returned."""
    original = getattr(owner, name)

    def called(*arguments, **options):
        result = original(*arguments, **options)
        if is_it(*arguments):
            die()
        return result

    setattr(owner, name, called)


def before(owner, name, is_it=lambda *arguments: True):
    """Die instead of calling a function."""
    original = getattr(owner, name)

    def called(*arguments, **options):
        if is_it(*arguments):
            die()
        return original(*arguments, **options)

    setattr(owner, name, called)


def is_victims(*arguments):
    """Return whether one of the arguments is the victim's row, message or address."""
    return any(VICTIM in (getattr(each, "address", ""), *getattr(each, "to", ()), each) for each in arguments)


def arm(step):
    """Make this process die at a step."""
    import smtplib

    from app_metrics.notifications import outbox
    from app_metrics.reports import planning, sending

    arms = {
        "aggregated": lambda: after(sending, "aggregate"),
        "schedule moved on, not committed": lambda: before(planning, "_add"),
        "planned, not committed": lambda: after(planning, "_add"),
        "planned": lambda: after(sending, "plan"),
        "before the claim": lambda: before(outbox, "_claim", is_victims),
        "claimed": lambda: after(outbox, "_claim", is_victims),
        "recipient named": lambda: after(smtplib.SMTP, "rcpt", is_victims),
        "amid the text": lambda: setattr(smtplib.SMTP, "send", send_half(smtplib.SMTP.send)),
        "taken, not marked": lambda: after(outbox.Outbox, "_transmit", is_victims),
        "marked": lambda: after(outbox, "_mark", lambda row, *rest: is_victims(row) and "sent" in rest),
    }
    arms[step]()


def send_half(original):
    """Die after half of the victim's message was sent."""

    def send(self, data):
        if isinstance(data, bytes) and VICTIM.encode() in data and b"Subject:" in data:
            original(self, data[: len(data) // 2])
            die()
        original(self, data)

    return send


def fork(run):
    """Run a function in a child process, and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    random.seed()
    try:
        run()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def send(day, **options):
    from app_metrics.reports.sending import send_reports

    return send_reports(day=day, **options)


def crash_at_each(day):
    """Print how each sender ended: the negative signal number, or the exit code."""
    for line in sys.stdin:
        name, step = json.loads(line)

        def run(name=name, step=step):
            arm(step)
            send(day, sets=[name])

        print(os.waitstatus_to_exitcode(os.waitpid(fork(run), 0)[1]), flush=True)


def race(day, senders):
    """Print how many reports each sender sent, and its errors."""
    start, go = os.pipe()
    answers, answer = os.pipe()

    def run():
        os.close(go)
        os.read(start, 1)
        outcome = send(day)
        os.write(answer, json.dumps([outcome.sent, outcome.problems]).encode() + b"\n")

    children = [fork(run) for _ in range(int(senders))]
    time.sleep(0.1)
    os.close(go)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(answer)
    with os.fdopen(answers) as lines:
        print(json.dumps({"codes": codes, "outcomes": [json.loads(line) for line in lines]}))


def kill_senders(day, seconds):
    """Print how many senders were killed."""

    def run():
        while True:
            send(day)

    deadline = time.monotonic() + float(seconds)
    running = [fork(run) for _ in range(SENDERS)]
    kills = 0
    while time.monotonic() < deadline:
        time.sleep(random.uniform(0, 2 * SECONDS_BETWEEN_KILLS))
        kills += kill(running.pop(random.randrange(SENDERS)))
        running.append(fork(run))
    print(kills + sum([kill(sender) for sender in running]))


def kill(pid):
    """Kill a process; return whether it was still running, as it should be."""
    os.kill(pid, signal.SIGKILL)
    was_running = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    if not was_running:
        print("A sender ended by itself.", file=sys.stderr)
    return was_running


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
