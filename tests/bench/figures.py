"""What the parts of bench.py share: processes for a while, and how figures are shown."""

import contextlib
import statistics
import subprocess


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen([str(word) for word in command])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def print_ratio(what, rounds, aim=None):
    """Of figures that were measured in the same round; how far the rounds are apart tells of the noise."""
    ratios = [ours / theirs for ours, theirs in rounds]
    goal = f", aim {aim}" if aim else ""
    print(f"  {what}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f} by round){goal}")
