#!/bin/sh
# Removes Clockface: sudo ./uninstall.sh keeps the data in /var/lib/clockface, with --data they are deleted too.
set -eu
[ "$(id -u)" = 0 ] || { echo "error: run it as root: sudo $0" >&2; exit 1; }
case "${1:-}" in
    "" | --data) ;;
    *) echo "usage: $0 [--data]" >&2; exit 2 ;;
esac
for unit in clockface-update.path clockface-update.service clockface-kiosk.service clockface.service; do
    if [ -d /run/systemd/system ]; then systemctl stop "$unit" 2> /dev/null || true; fi
    systemctl disable --quiet "$unit" 2> /dev/null || true
    rm -f "/etc/systemd/system/$unit"
done
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
rm -f /etc/polkit-1/rules.d/70-clockface-network.rules /etc/udev/rules.d/70-clockface.rules /etc/systemd/journald.conf.d/clockface.conf /etc/xdg/autostart/clockface-kiosk.desktop /usr/local/bin/clockface
rm -f /etc/chromium/policies/managed/clockface.json /etc/chromium-browser/policies/managed/clockface.json
rm -rf /opt/clockface /var/lib/clockface-inbox
if id clockface-kiosk > /dev/null 2>&1; then userdel clockface-kiosk; fi
if [ "${1:-}" = --data ]; then
    rm -rf /var/lib/clockface /var/lib/clockface-keys /etc/default/clockface
    if id clockface > /dev/null 2>&1; then userdel clockface; fi
    echo "Clockface and its data are removed"
else
    echo "Clockface is removed; /var/lib/clockface, /var/lib/clockface-keys and /etc/default/clockface are kept"
fi
