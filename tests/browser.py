"""A headless Chromium that tests talk to through two pipes (its DevTools protocol), with nothing installed for it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
ENDED = b"\0"  # what ends a message


def needs_chromium() -> None:
    """Skip where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium to look at the page with")


class Browser:
    """One page. `asked` collects the addresses that it fetches, `complaints` what its scripts throw."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._last = write, read, b"", 0
        self._session: str | None = None
        self.asked: list[str] = []
        self.complaints: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + ENDED)
        while (answer := self._next()).get("id") != self._last:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while ENDED not in self._buffer:
            piece = os.read(self._read, 1 << 16)
            assert piece, "Chromium has gone"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(ENDED)
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Network.requestWillBeSent":
            self.asked.append(event["params"]["request"]["url"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["params"]["exceptionDetails"]))

    def open(self, path: Path, width: int, height: int = 900) -> None:
        """Load a page in a window of that size and wait until its scripts have run."""
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.tell("Page.navigate", url=path.as_uri())
        self.run("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        done = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key, as a user would."""
        code = {" ": 32, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "End": 35, "Home": 36, "Tab": 9}[key]
        keys = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        self.tell("Input.dispatchKeyEvent", type="keyDown", text=text or (key if key == " " else ""), **keys)
        self.tell("Input.dispatchKeyEvent", type="keyUp", **keys)

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium with an empty profile; it ends with the block."""
    assert CHROMIUM is not None
    (commands, write), (read, answers) = os.pipe(), os.pipe()
    line = [CHROMIUM, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={profile}", "--lang=en"]
    plumbing = f'exec "$@" 3<&{commands} 4>&{answers}'  # the numbers it reads and writes on
    process = subprocess.Popen(
        ["bash", "-c", plumbing, "bash", *line], pass_fds=(commands, answers), stderr=subprocess.DEVNULL
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Browser(write, read)
    finally:
        os.close(write)
        process.terminate()
        process.wait(timeout=20)
        os.close(read)
