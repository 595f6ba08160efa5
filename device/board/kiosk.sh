#!/bin/sh
# The kiosk page, full screen; a profile in memory, so that nothing is written and no "restore pages?" ever shows.
browser=$(command -v chromium || command -v chromium-browser)
exec "$browser" --kiosk --incognito --no-first-run --disable-translate --disable-infobars --noerrdialogs --ozone-platform-hint=auto \
    --user-data-dir="${XDG_RUNTIME_DIR:-/tmp}/clockface-browser" http://127.0.0.1:8080/kiosk
