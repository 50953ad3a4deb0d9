"""A log of how the rounds of autopilots ended."""

from pathlib import Path


class Log:
    """A file to which processes append lines of what happened to a round, and numbers.

    They are `killed` with a process id, and `survived` with the steps that the round took, and the number of the one
    that added to totals.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def note(self, what: str, *numbers: int) -> None:
        with self.path.open("a") as file:
            file.write(" ".join([what, *map(str, numbers)]) + "\n")

    def lines(self) -> list[tuple[str, list[int]]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [(what, [*map(int, numbers)]) for what, *numbers in map(str.split, lines)]

    def kills(self) -> list[int]:
        """Return the ids of the processes that were killed in a round."""
        return [numbers[0] for what, numbers in self.lines() if what == "killed"]
