"""Scripted visitors of the example site: many at once over real HTTP, which count what they do.

They count only from the responses, so that the result can be compared with what the site counted.
"""

import contextlib
import http.client
import random
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.cookies import SimpleCookie
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

PASSWORD = "a-long-walk-along-the-harbour"
PRICES = {"single": Decimal("24.90"), "quarterly": Decimal("92.00"), "yearly": Decimal("259.50")}
GUIDES = ("moby-dick.txt", "middlemarch.txt", "frankenstein.txt")
WORDS = ("sea", "jane", "eliot", "the", "dick", "wuthering", "é", "nothing like this")
TIMEOUT_SECONDS = 60
# The cookie that only those have who are logged in.
SESSION = "sessionid"
EXPORT_BLOCK = 16
TITLES = ("Dracula", "Emma", "Kim")
# In the tables of the page for deliveries, and of the admin's list of books.
STOCK = re.compile(r'<td>(.+?)</td><td class="number">(\d+)</td>')
BOOK_KEY = re.compile(r'name="_selected_action" value="(\d+)"')


class Sum(NamedTuple):
    """What is expected of a metric; `total` is None if only the site knows it, such as a duration."""

    count: int
    total: Decimal | None


Expected = dict[str, Sum]


class Login(NamedTuple):
    name: str
    password: str


# The member of staff whom the visits need.
KEEPER = Login("admin", "admin")


class VisitError(Exception):
    """The site gave an unexpected response, so no comparison is possible."""


class Enough(Exception):
    """This visitor has made all of its requests."""


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Tally:
    """Counts keyed by `slug`, and by `slug{name=value}` for labels."""

    def __init__(self) -> None:
        self.sums: Expected = {}

    def add(self, slug: str, number: int | Decimal = 1, **labels: str) -> None:
        self._add(slug, Sum(1, Decimal(number)))
        if labels:
            pairs = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
            self._add(f"{slug}{{{pairs}}}", Sum(1, Decimal(number)))

    def add_time(self, slug: str) -> None:
        self._add(slug, Sum(1, None))

    def include(self, other: Expected) -> None:
        for slug, number in other.items():
            self._add(slug, number)

    def _add(self, slug: str, more: Sum) -> None:
        count, total = self.sums.get(slug, Sum(0, None if more.total is None else Decimal(0)))
        both = None if total is None or more.total is None else total + more.total
        self.sums[slug] = Sum(count + more.count, both)


class Client:
    """One browser: a persistent connection, cookies, and the number of requests it may still make."""

    def __init__(self, base_url: str, requests: int, stop: threading.Event, done: Callable[[], None]) -> None:
        url = urlsplit(base_url)
        assert url.hostname is not None
        self._connection = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT_SECONDS)
        self._left = requests
        self._stop = stop
        self._done = done
        self.cookies: dict[str, str] = {}
        self.pages = 0  # pages that a URL rule without options counts, without the admin's
        self.pages_of_users = 0  # the same of somebody who is logged in, with the admin's

    def get(self, path: str, *, status: int = 200) -> Answer:
        return self._request("GET", path, None, status)

    def head(self, path: str, *, status: int = 200) -> Answer:
        return self._request("HEAD", path, None, status)

    def post(self, path: str, *, status: int = 302, **form: object) -> Answer:
        """Submit a form with the token from the cookie, which any page with a form sets."""
        token = self.cookies.get("csrftoken", "")
        body = urlencode({"csrfmiddlewaretoken": token, **form}, doseq=True)
        return self._request("POST", path, body, status)

    def forget(self) -> None:
        """Act as a different visitor from now on."""
        self.cookies.clear()

    def close(self) -> None:
        self._connection.close()

    def _request(self, method: str, path: str, body: str | None, status: int) -> Answer:
        if self._left == 0 or self._stop.is_set():
            raise Enough
        self._left -= 1
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise VisitError(f"{method} {path} got no answer: {error!r}") from error
        if answer.status != status:
            text = answer.body[:300].decode(errors="replace")
            raise VisitError(f"{method} {path} answered {answer.status} instead of {status}: {text}")
        self._keep_cookies(answer.headers.get_all("Set-Cookie", []))
        is_page = method != "HEAD" and status < 400
        self.pages += is_page and not path.startswith("/admin/")
        self.pages_of_users += is_page and SESSION in self.cookies
        self._done()
        return answer

    def _keep_cookies(self, lines: Iterable[str]) -> None:
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


class Visitor:
    """A visitor who browses the site, and keeps a tally of what it should have counted."""

    def __init__(self, client: Client, name: str, chance: random.Random) -> None:
        self._client = client
        self._name = name
        self._chance = chance
        self._people = 0
        self.tally = Tally()

    def run(self) -> Expected:
        """Visit repeatedly, as a new person each time, until all requests are made; return the tally."""
        try:
            while True:
                self.come()
        except Enough:
            self.tally.include({"requests": Sum(self._client.pages, Decimal(self._client.pages))})
            self.tally.include({"active_users": Sum(self._client.pages_of_users, None)})
            return self.tally.sums
        finally:
            self._client.close()

    def come(self) -> None:
        """Sign up, log in, look around, leave."""
        self._people += 1
        name = f"{self._name}-{self._people}"
        self._client.forget()
        self._client.get("/accounts/sign-up/")
        if self._happens(0.2):
            self.order_as_nobody()
        self.sign_up(name)
        if self._happens(0.2):
            self.mistype_password(name)
        self.log_in(Login(name, PASSWORD))
        self.tally.add("logins")
        for _ in range(self._chance.randint(10, 30)):
            self._chance.choices(*ACTIONS)[0](self)
        self._client.post("/accounts/logout/")

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    def log_in(self, login: Login) -> None:
        self._client.post("/accounts/login/", username=login.name, password=login.password)
        self.tally.add("account_forms", url="accounts:login")

    def sign_up(self, name: str) -> None:
        subscribes = self._happens(0.5)
        newsletter = {"newsletter": "on"} if subscribes else {}
        self._client.post("/accounts/sign-up/", **sign_up_form(name, f"{name}@example.org"), **newsletter)
        self.tally.add("signups")
        self.tally.add("account_forms", url="accounts:signup")
        if subscribes:
            self.tally.add("newsletter_subscribers")

    def sign_up_in_vain(self) -> None:
        """The account is saved, then the newsletter fails: this counts a failure, but no account and no subscriber."""
        name = f"{self._name}-{secrets.token_hex(4)}"
        form = sign_up_form(name, f"{name}@unreachable.example")
        self._client.post("/accounts/sign-up/", status=500, newsletter="on", **form)
        self.tally.add("failures", url="accounts:signup")

    def mistype_password(self, name: str) -> None:
        self._client.post("/accounts/login/", status=200, username=name, password="wrong")
        self.tally.add("failed_logins")
        self.tally.add("account_forms", url="accounts:login")

    def download(self) -> None:
        guide = self._chance.choice(GUIDES)
        answer = self._client.get(f"/downloads/{guide}")
        if len(answer.body) != int(answer.headers["Content-Length"]):
            raise VisitError("A download is not as long as it says.")
        self.tally.add("downloads")
        self.tally.add("downloaded_bytes", len(answer.body), guide=guide)

    def ask_for_headers(self) -> None:
        self._client.head(f"/downloads/{self._chance.choice(GUIDES)}")

    def download_nothing(self) -> None:
        self._client.get("/downloads/ulysses.txt", status=404)

    def search(self) -> None:
        self._client.get(f"/search/?{urlencode({'q': self._chance.choice(WORDS)})}")
        self.tally.add("searches")

    def look_at_search(self) -> None:
        self._client.get("/search/")

    def order(self) -> None:
        plan, quantity = self._chance.choice(list(PRICES)), self._chance.randint(1, 5)
        self._client.post("/checkout/", plan=plan, quantity=quantity, card="4000 1234 5678 9010")
        self.tally.add("orders")
        self.tally.add("items_sold", quantity, plan=plan)
        self.tally.add("revenue", PRICES[plan] * quantity, plan=plan)
        if quantity >= 4:
            self.tally.add("large_orders")
        self.tally.add("checkouts", method="POST")
        self.tally.add_time("checkout_seconds")
        self.tally.add_time("payment_seconds")

    def order_with_refused_card(self) -> None:
        """The refused card rolls the saved order back: this counts the refusal, and no order."""
        form = {"plan": "single", "quantity": 1, "card": "4000 1234 5678 0000"}
        self._client.post("/checkout/", status=402, **form)
        self.tally.add("refused_payments", PRICES["single"])

    def order_too_much(self) -> None:
        self._client.post("/checkout/", status=200, plan="single", quantity=1000, card="4000")

    def order_as_nobody(self) -> None:
        """This redirects like an order, but to the login page."""
        answer = self._client.post("/checkout/", plan="single", quantity=1, card="4000")
        if not answer.headers["Location"].startswith("/accounts/login/"):
            raise VisitError("Somebody who is not logged in could order.")

    def look_at_checkout(self) -> None:
        self._client.get("/checkout/")

    def export(self) -> None:
        lines = self._client.get("/catalogue.csv").body.decode().splitlines()
        # The site counts each block of rows; the first line is the header.
        for start in range(1, len(lines), EXPORT_BLOCK):
            self.tally.add("exported_rows", len(lines[start : start + EXPORT_BLOCK]))

    def print_statement(self) -> None:
        self._client.get("/statement/")
        self.tally.add("statements")

    def open_broken_page(self) -> None:
        self._client.get("/recommendations/", status=500)
        self.tally.add("failures", url="shop:recommendations")

    def follow_dead_link(self) -> None:
        self._client.get(f"/old-shop/{secrets.token_hex(4)}/", status=404)
        self.tally.add("not_found", method="GET")

    def open_home_page(self) -> None:
        self._client.get("/")

    def deliver_as_customer(self) -> None:
        """This redirects like a delivery, but to the login page."""
        answer = self._client.post("/delivery/", rows=f"{TITLES[0]}: 1")
        if not answer.headers["Location"].startswith("/admin/login/"):
            raise VisitError("A customer could deliver books.")


class Keeper(Visitor):
    """The keeper of the shop, whose logins and whose pages in the admin do not count."""

    def __init__(self, client: Client, login: Login, chance: random.Random) -> None:
        super().__init__(client, login.name, chance)
        self._login = login

    def come(self) -> None:
        """Log in, put delivered books on the shelf and some into the next box, leave."""
        self._client.forget()
        self._client.get("/accounts/login/")
        self.log_in(self._login)
        self.deliver()
        self.put_into_next_box()
        self._client.post("/accounts/logout/")

    def deliver(self) -> None:
        stock = dict(STOCK.findall(self._client.get("/delivery/").body.decode()))
        copies = {title: self._chance.randint(1, 20) for title in self._chance.sample(TITLES, 2)}
        self._client.post("/delivery/", rows="\n".join(f"{title}: {number}" for title, number in copies.items()))
        for title, number in copies.items():
            self.tally.add("delivered_copies", number, title=title)
            self.tally.add("stock", int(stock.get(title, 0)) + number, title=title)
            self.tally.add("book_changes")

    def put_into_next_box(self) -> None:
        keys = BOOK_KEY.findall(self._client.get("/admin/shop/book/").body.decode())
        chosen = self._chance.sample(keys, 5)
        self._client.post("/admin/shop/book/", action="put_into_next_box", index=0, _selected_action=chosen)
        self.tally.add("book_changes", len(chosen))


ACTIONS: tuple[list[Callable[[Visitor], None]], list[int]] = (
    [
        Visitor.download,
        Visitor.ask_for_headers,
        Visitor.download_nothing,
        Visitor.search,
        Visitor.look_at_search,
        Visitor.order,
        Visitor.order_with_refused_card,
        Visitor.order_too_much,
        Visitor.look_at_checkout,
        Visitor.export,
        Visitor.print_statement,
        Visitor.open_broken_page,
        Visitor.sign_up_in_vain,
        Visitor.follow_dead_link,
        Visitor.open_home_page,
        Visitor.deliver_as_customer,
    ],
    [18, 3, 3, 18, 2, 16, 3, 2, 3, 8, 8, 4, 4, 3, 6, 2],
)


def sign_up_form(name: str, email: str) -> dict[str, str]:
    return {"username": name, "email": email, "password1": PASSWORD, "password2": PASSWORD}


def visit(
    base_url: str,
    requests: int = 2000,
    concurrency: int = 8,
    progress: Callable[[int], None] | None = None,
    seed: int = 0,
    keeper: Login = KEEPER,
) -> Expected:
    """Make this many requests with this many concurrent visitors, and return what should be counted.

    The first of them is the keeper of the shop.

    The keys are `slug` and `slug{name=value}`. The seed determines what the visitors do.
    `progress` is called with the number of requests made so far. Raises VisitError for any
    unexpected response.
    """
    counter = ProgressCounter(progress)
    stop = threading.Event()
    # Account names must be new even if the same visit is repeated.
    run = secrets.token_hex(4)
    tally = Tally()

    def one(number: int) -> Expected:
        share = requests // concurrency + (number < requests % concurrency)
        client = Client(base_url, share, stop, counter.step)
        chance = random.Random(f"{seed} {number}")
        person = Visitor(client, f"visitor-{run}-{number}", chance) if number else Keeper(client, keeper, chance)
        with stopping_others(stop):
            return person.run()

    with ThreadPoolExecutor(concurrency) as pool, stopping_others(stop):
        for sums in pool.map(one, range(concurrency)):
            tally.include(sums)
    return dict(sorted(tally.sums.items()))


def read_pages(base_url: str, paths: Sequence[str], login: Login = KEEPER) -> dict[str, str]:
    """Log in to the admin, and return pages by their path. Raises VisitError for any unexpected response."""
    client = Client(base_url, len(paths) + 2, threading.Event(), done=lambda: None)
    client.get("/admin/login/")
    client.post("/admin/login/?next=/admin/", username=login.name, password=login.password)
    pages = {path: client.get(path).body.decode() for path in paths}
    client.close()
    return pages


@contextlib.contextmanager
def stopping_others(stop: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop.set()
        raise


class ProgressCounter:
    """A thread-safe counter of steps."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._steps = 0

    def step(self) -> None:
        with self._lock:
            self._steps += 1
            if self._progress:
                self._progress(self._steps)
