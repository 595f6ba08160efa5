#!/bin/sh
# Puts Clockface on this machine, or brings it up to date: sudo ./install.sh. Asks nothing, needs no network, may be run again.
#   /opt/clockface        the program, owned by root        /etc/default/clockface   the camera
#   /var/lib/clockface    the data, mode 700                /var/lib/clockface-inbox bundles dropped here are installed
#   /var/lib/clockface-keys  the keys that seal templates, mode 700
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=/opt/clockface
data=/var/lib/clockface
keys=/var/lib/clockface-keys
inbox=/var/lib/clockface-inbox
fail() { echo "error: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "run it as root: sudo $0"
command -v python3 > /dev/null || fail "python3 is missing: apt install python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or newer is needed, this is $(python3 -V)"

# Two users without a login, each in the groups that own its devices: the terminal, and the screen, which reads no data.
account() { # name, home, groups
    id "$1" > /dev/null 2>&1 || useradd --system --user-group --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
    for group in $3; do
        if getent group "$group" > /dev/null; then usermod --append --groups "$group" "$1"; fi
    done
}
groupadd --system --force gpio
account clockface "$data" "video render gpio tss" # tss: the TPM, where tpm2-tools are installed
account clockface-kiosk /run/clockface-kiosk "video render input"
install -d -m 700 -o clockface -g clockface "$data" "$keys"
find "$data" "$keys" -xdev ! -user clockface -exec chown -h clockface:clockface {} + # data of an earlier system, where the account had another number
install -d -m 755 "$root"
install -d -m 700 -o clockface -g clockface "$inbox" # a terminal of a fleet fetches bundles; every file is checked again as root unpacks it
[ -e "$root/clockface.toml" ] || printf '[store]\npath = "%s/clockface.db"\n' "$data" > "$root/clockface.toml"

python3 "$here/bootstrap.py" "$here" "$root"

board=$root/current/device/board
[ -e /etc/default/clockface ] || install -m 644 "$board/default" /etc/default/clockface
install -D -m 644 -t /etc/systemd/system "$board"/*.service "$board"/*.path
install -D -m 644 "$board/70-clockface.rules" /etc/udev/rules.d/70-clockface.rules
if [ -d /etc/polkit-1 ]; then install -D -m 644 "$board/70-clockface-network.rules" /etc/polkit-1/rules.d/70-clockface-network.rules; fi
install -D -m 644 "$board/journald.conf" /etc/systemd/journald.conf.d/clockface.conf
ln -sfn "$root/clockface" /usr/local/bin/clockface

# The screen: cage where there is no desktop, the desktop's autostart where there is one. Neither is installed from here.
browser=$(command -v chromium || command -v chromium-browser || true)
if [ -n "$browser" ] && [ -d /etc/xdg/autostart ] && [ -d /usr/share/wayland-sessions ]; then
    install -m 644 "$board/clockface-kiosk.desktop" /etc/xdg/autostart/clockface-kiosk.desktop
fi
units="clockface.service clockface-update.path"
screen= # whether the browser of this machine is the kiosk's
if [ -e /etc/xdg/autostart/clockface-kiosk.desktop ]; then screen=yes; fi
if [ -n "$browser" ] && command -v cage > /dev/null && [ ! -e /etc/xdg/autostart/clockface-kiosk.desktop ]; then
    units="$units clockface-kiosk.service"
    screen=yes
fi
if [ -n "$screen" ]; then # Debian's Chromium and the older one of Raspberry Pi OS
    for folder in /etc/chromium /etc/chromium-browser; do
        install -D -m 644 "$board/chromium-policy.json" "$folder/policies/managed/clockface.json"
    done
fi
for unit in $units; do
    systemctl enable --quiet "$unit"
done
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    udevadm control --reload
    udevadm trigger --subsystem-match=video4linux --subsystem-match=gpio
    systemctl restart systemd-journald
    for unit in $units; do
        systemctl restart --no-block "$unit"
    done
    echo "Clockface starts; what it says: journalctl -fu clockface"
else
    echo "Clockface is installed and starts with the system"
fi
echo "next: sudo -u clockface clockface doctor; sudo -u clockface clockface enroll \"Your Name\" --camera /dev/clockface-camera"
