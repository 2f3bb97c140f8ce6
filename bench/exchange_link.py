"""A link between two network namespaces, for `bench/exchange`: an impaired one, with rate, delay, loss and a bounded queue in each direction, in user
space on two TUN devices (netem is not in every kernel), and a kernel's own (veth) that holds nothing up. Needs root."""
import collections
import fcntl
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SITE_ADDRESS, HUB_ADDRESS = "10.77.0.1", "10.77.0.2"


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


def open_tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def open_tun_in(namespace, name):
    """By a process of that namespace, which hands the device over."""
    ours, theirs = socket.socketpair()
    program = "import os, socket; from exchange_link import open_tun; " \
              f"socket.send_fds(socket.socket(fileno={theirs.fileno()}), [b'1'], [open_tun('{name}')])"
    subprocess.run(["ip", "netns", "exec", namespace, sys.executable, "-c", program], check=True, pass_fds=[theirs.fileno()],
                   cwd=pathlib.Path(__file__).parent)
    return socket.recv_fds(ours, 1, 1)[1][0]


class Direction:
    """Packets from one device to the other. `settings` may change at any time: (bits a second or 0, seconds of delay, share lost, up)."""

    def __init__(self, source, target, seed):
        self.source, self.target, self.random = source, target, random.Random(seed)
        self.settings, self.queue_seconds = (0, 0.0, 0.0, True), 1.5
        self.bytes = self.dropped = 0
        self.leaves = 0.0
        self.due, self.waiting = collections.deque(), threading.Condition()
        for run in (self.receive, self.deliver):
            threading.Thread(target=run, daemon=True).start()

    def receive(self):
        while True:
            packet = os.read(self.source, 65536)
            rate, delay, loss, up = self.settings
            now = time.monotonic()
            self.leaves = max(now, self.leaves)
            if not up or self.random.random() < loss or (rate and self.leaves - now > self.queue_seconds):
                self.dropped += 1
                continue
            if rate:
                self.leaves += len(packet) * 8 / rate
            with self.waiting:
                self.due.append((self.leaves + delay, packet))
                self.waiting.notify()

    def deliver(self):
        while True:
            with self.waiting:
                while not self.due:
                    self.waiting.wait()
                at, packet = self.due.popleft()
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                os.write(self.target, packet)
                self.bytes += len(packet)
            except OSError:
                return  # the namespace is gone


class Link:
    """This process stands on the site's side; `hub_side` is the other namespace, for `ip netns exec`."""

    def __init__(self, hub_side, seed=1):
        self.hub_side = hub_side
        ip("netns", "add", hub_side)
        near, far = open_tun("skerrysite"), open_tun_in(hub_side, "skerryhub")
        ip("link", "set", "lo", "up")
        ip("addr", "add", f"{SITE_ADDRESS}/30", "dev", "skerrysite")
        ip("link", "set", "skerrysite", "up")
        ip("-n", hub_side, "link", "set", "lo", "up")
        ip("-n", hub_side, "addr", "add", f"{HUB_ADDRESS}/30", "dev", "skerryhub")
        ip("-n", hub_side, "link", "set", "skerryhub", "up")
        self.up, self.down = Direction(near, far, seed), Direction(far, near, seed + 1)

    def set(self, rate=0, round_trip=0.0, loss=0.0, up=True):
        self.up.settings = self.down.settings = (rate, round_trip / 2, loss, up)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.hub_side], check=False)


class WholeLink:
    """A pair of virtual Ethernet devices with the MTU of a real one, which is up or down."""

    def __init__(self, hub_side):
        self.hub_side = hub_side
        ip("netns", "add", hub_side)
        # One packet at a time, as a real device would send them, so that their headers count.
        ip("link", "add", "skerrysite", "gso_max_segs", "1", "type", "veth", "peer", "name", "skerryhub", "netns", hub_side)
        ip("-n", hub_side, "link", "set", "skerryhub", "gso_max_segs", "1")
        ip("link", "set", "lo", "up")
        ip("-n", hub_side, "link", "set", "lo", "up")
        ip("addr", "add", f"{SITE_ADDRESS}/30", "dev", "skerrysite")
        ip("-n", hub_side, "addr", "add", f"{HUB_ADDRESS}/30", "dev", "skerryhub")
        ip("-n", hub_side, "link", "set", "skerryhub", "up")
        self.set()

    def set(self, up=True):
        ip("link", "set", "skerrysite", "up" if up else "down")

    def ip_bytes(self):
        """Of both directions so far, without Ethernet's headers."""
        shown = subprocess.run(["ip", "-s", "-j", "link", "show", "skerrysite"], check=True, capture_output=True, text=True).stdout
        return sum(way["bytes"] - 14 * way["packets"] for way in json.loads(shown)[0]["stats64"].values())

    def close(self):
        subprocess.run(["ip", "netns", "del", self.hub_side], check=False)
