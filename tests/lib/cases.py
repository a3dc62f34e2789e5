# SPDX-License-Identifier: Apache-2.0
"""Functions as cases of a test, told as TAP, and waiting for what comes true."""
import sys
import time
import traceback


def until(condition, seconds=10, what="too late"):
    """Waits until @condition() is true and returns its value; @what may be a function that says what is instead."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(.02)


class Cases:
    """Runs functions as cases; @words (default: those on the command line) choose among them. Cases may stand in cases."""

    def __init__(self, words=None):
        self.words, self.failed, self.number = sys.argv[1:] if words is None else words, 0, 0

    def run(self, function, *args, log=None, label=""):
        """@log(): its end is told when the case fails."""
        if self.words and not any(w in function.__name__ for w in self.words):
            return
        self.number += 1
        name = f"{self.number} - {function.__name__} {label}".strip()
        try:
            function(*args)
            print(f"ok {name}", flush=True)
        except Exception:  # a failed case does not end the others
            self.failed += 1
            print(f"not ok {name}")
            print("".join(f"#   {x}\n" for x in traceback.format_exc().splitlines()), end="", flush=True)
            print("".join(f"#   | {x}\n" for x in (log() if log else "").splitlines()[-25:]), end="", flush=True)

    def end(self):
        """The exit status."""
        print(f"1..{self.number}")
        return 1 if self.failed else 0
