"""The files of a log, as shimd-log writes them."""

import re

LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr|shimd) ([FP]) (.*)", re.S)


def records(directory):
    """(stream, tag, text) of every line of all files; fails for a line that is none."""
    found = []
    for path in sorted(p for p in directory.iterdir() if p.is_file()):
        content = path.read_bytes()
        assert content.endswith(b"\n") or not content, f"{path} ends in the middle of a line"
        for line in content.split(b"\n")[:-1]:
            match = LINE.fullmatch(line)
            assert match, line[:200]
            found.append((match[1].decode(), match[2].decode(), match[3]))
    return found
