"""A file system that never answers: whoever asks it for anything waits until it is gone, and cannot be killed before.

As a program, with a directory for its mount point, it says a line on standard output for each request that it takes.
"""

import ctypes
import os
import pathlib
import struct
import subprocess
import sys

from cluster import until

DEVICE = pathlib.Path("/dev/fuse")
# linux/fuse.h
INIT = 26
PARALLEL_DIROPS = 1 << 18  # several names at once
IN_HEADER = struct.Struct("=IIQQIIIHH")
OUT_HEADER = struct.Struct("=IiQ")
INIT_OUT = struct.Struct("=IIIIHHIIHHI28x")
VERSION = (7, 31)
BUFFER, MAX_WRITE = 1 << 16, 4096
MS_NOSUID, MS_NODEV = 2, 4


def mount(place):
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"hung", os.fsencode(place), b"fuse", MS_NOSUID | MS_NODEV, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)
    return device


def serve(device):
    """A request that was read is waited for by whoever made it, whatever signals come."""
    while True:
        _, opcode, unique, *_ = IN_HEADER.unpack_from(os.read(device, BUFFER))
        if opcode == INIT:
            answer = INIT_OUT.pack(*VERSION, 0, PARALLEL_DIROPS, 0, 0, MAX_WRITE, 1, 0, 0, 0)
            os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(answer), 0, unique) + answer)
        print(opcode, flush=True)


class HungFs:
    def __init__(self, place):
        self.place, self.said = place, place.with_suffix(".said")
        place.mkdir()
        with self.said.open("w") as said:
            self.server = subprocess.Popen([sys.executable, __file__, str(place)], stdout=said)
        self.await_taken(0)

    def await_taken(self, number):
        """Requests, and the one with which it begins."""
        until(lambda: len(self.said.read_text().split()) > number, f"it was asked {number} times")

    def end(self):
        """Who waits is told that it is gone."""
        self.server.kill()
        self.server.wait()
        subprocess.run(["umount", "-l", self.place], check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    serve(mount(sys.argv[1]))
