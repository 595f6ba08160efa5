#!/bin/bash
# The kiosk session without a screen: cage on a headless backend, as a user without rights, shows device/packaging/kiosk.sh as the unit does; the terminal starts
# after the browser; then the browser is killed. Pictures of the screen go to a folder, to be looked at.
# As root, a minute or two:   tests/device/packaging/kiosk.sh FOLDER
# Needs: apt install cage xwayland grim chromium
set -euo pipefail
cd "$(dirname "$0")/../../.."
pictures=${1:?usage: tests/device/packaging/kiosk.sh FOLDER}
for program in cage Xwayland grim chromium; do
    command -v "$program" > /dev/null || { echo "error: $program is missing: apt install cage xwayland grim chromium" >&2; exit 1; }
done
mkdir -p "$pictures"
work=$(mktemp -d)
chmod 711 "$work"
install -d -m 700 -o nobody -g nogroup "$work/run"
cp device/packaging/kiosk.sh device/packaging/starting.html "$work"
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$work"' EXIT
as_kiosk() {
    setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs env -i PATH="$PATH" HOME="$work/run" XDG_RUNTIME_DIR="$work/run" \
        WLR_BACKENDS=headless WLR_LIBINPUT_NO_DEVICES=1 WLR_RENDERER=pixman CHROMIUM_FLAGS='--disable-gpu --in-process-gpu' "$@" # there is no graphics card
}
session() { # as the unit: ExecStart, Restart=always, RestartSec=3
    while true; do
        as_kiosk cage -- sh "$work/kiosk.sh" >> "$work/cage.log" 2>&1 || true
        sleep 3
    done
}
picture() { # name, per mille of the screen that must be brighter than the dark ground, within a minute; the headless backend draws only what changed
    for _ in $(seq 20); do
        sleep 3
        as_kiosk WAYLAND_DISPLAY=wayland-0 grim - > "$pictures/$1.png" 2> /dev/null || continue
        lit=$(.venv/bin/python -c 'import cv2, sys; print(int(1000 * (cv2.imread(sys.argv[1]).max(axis=2) > 70).mean()))' "$pictures/$1.png")
        if [ "$lit" -ge "$2" ]; then echo "$1: $lit per mille lit"; return; fi
    done
    echo "FAILED: $pictures/$1.png does not show the page" >&2
    cat "$work"/*.log >&2
    exit 1
}

session &
picture 1-no-terminal-yet 10
CLOCKFACE_KEYS=$work/keys .venv/bin/python -m device run --source demo --headless --web 127.0.0.1:8080 --db "$work/demo.db" > "$work/terminal.log" 2>&1 &
picture 2-terminal-up 300
pkill -9 -u nobody -f clockface-browser
picture 3-browser-killed 300
echo "done: everything as expected"
