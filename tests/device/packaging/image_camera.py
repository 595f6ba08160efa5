"""A camera in the network, inside the machine of image.sh: python3 image_camera.py CLIPS SHOWN RATE. The standard library only.

It plays one of the folders in CLIPS again and again, RATE pictures per second: the one that the file SHOWN names at that moment.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS = ("127.0.0.1", 8099)


class Camera(BaseHTTPRequestHandler):
    """Motion JPEG, as cameras in a network send it."""

    def do_GET(self) -> None:
        clips, shown, rate = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        number = 0
        while True:
            pictures = sorted((clips / shown.read_text().strip()).iterdir())
            data = pictures[number % len(pictures)].read_bytes()
            self.wfile.write(b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data))
            number += 1
            time.sleep(1 / rate)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # who looked has gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the serial line is the probe's."""


if __name__ == "__main__":
    ThreadingHTTPServer(ADDRESS, Camera).serve_forever()
