#!/bin/sh
# What the browser may open and do at all: chromium-policy.json, put in place by install.sh.
# The kiosk page, full screen; a profile in memory, so that nothing is written and no "restore pages?" ever shows.
browser=$(command -v chromium || command -v chromium-browser)
platform=x11
if [ -n "${WAYLAND_DISPLAY:-}" ]; then platform=wayland; fi # newer Chromiums look at the session's type, which cage does not set
show() {
    exec "$browser" --kiosk --incognito --no-first-run --disable-translate --disable-infobars --noerrdialogs --ozone-platform="$platform" \
        --disable-pinch --overscroll-history-navigation=0 --disable-features=Translate,TouchTextEditingRedesign \
        --user-data-dir="${XDG_RUNTIME_DIR:-/tmp}/clockface-browser" "$1"
}
answers() { python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8080), 2)' 2> /dev/null; }

# The browser's own error page would stay for up to half an hour.
if ! answers; then
    show "file://$(dirname "$0")/starting.html" &
    until answers; do sleep 1; done
    kill $!
    wait
fi
show http://127.0.0.1:8080/kiosk
