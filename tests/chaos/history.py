"""What clients asked and were told, written down so that it can be judged afterwards."""

import threading
import time
from dataclasses import dataclass, field

OK, NOT_FOUND = 0, 5
# Codes after which nobody can know whether a request took effect.
UNCERTAIN = {1, 2, 4, 13, 14, 15}


@dataclass
class Step:
    """One request, or one thing that happened by itself."""

    what: str
    began: float
    ended: float = float("inf")
    status: int = OK
    answer: dict = field(default_factory=dict)
    text: str = ""

    def __str__(self):
        result = "ok" if self.status == OK else f"{self.status} {self.text}"
        return f"{self.began:9.3f} .. {self.ended:9.3f}  {self.what:14} {result} {self.answer or ''}"


class Story:
    """All of one container: its client's steps, what it was to do, and what was seen of it."""

    def __init__(self, name, code):
        self.name, self.code = name, code
        self.steps, self.notes = [], []
        self.execs = {}  # exec id -> the code it was to end with
        self.lost_shim = self.has_rival = False
        self.lock = threading.Lock()

    def add(self, step):
        with self.lock:
            self.steps.append(step)

    def note(self, text):
        with self.lock:
            self.notes.append((time.monotonic(), text))

    def __str__(self):
        lines = [f"container {self.name}, to end with {self.code}"]
        lines += [str(s) for s in sorted(self.steps, key=lambda s: s.began)]
        lines += [f"{when:9.3f}  {text}" for when, text in self.notes]
        return "\n".join(lines)
