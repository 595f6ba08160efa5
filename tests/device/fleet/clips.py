"""Plays clips over and over at the pace of a camera, each as one MJPEG stream over HTTP, so that a terminal takes them for a live camera."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2

RATE = 10.0  # frames/s
PAUSE_SECONDS = 6.0  # of an empty wall between two rounds: the visit ends


def jpegs(clip: Path) -> list[bytes]:
    """Every second frame of a clip, and then an empty wall, as JPEG."""
    opened = cv2.VideoCapture(str(clip))
    frames = []
    while True:
        read, frame = opened.read()
        if not read:
            break
        frames.append(frame)
    opened.release()
    assert frames, clip
    wall = cv2.blur(frames[0], (301, 301)) // 2 + 60
    pictures = [*frames[::2], *[wall + number % 2 for number in range(int(PAUSE_SECONDS * RATE))]]  # a camera never shows the same picture twice
    return [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes() for picture in pictures]


@contextmanager
def playing(clips: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """Serve the clips while the block runs; gives name -> address."""
    pictures = {f"/{number}.mjpeg": jpegs(clip) for number, clip in enumerate(clips.values())}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(OSError):
                while True:
                    for picture in pictures[self.path]:
                        self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture + b"\r\n")
                        time.sleep(1 / RATE)

        def log_message(self, *words: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {name: f"http://127.0.0.1:{server.server_port}{path}" for name, path in zip(clips, pictures, strict=True)}
    finally:
        server.shutdown()
        server.server_close()
