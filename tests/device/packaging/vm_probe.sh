#!/bin/sh
# Runs inside the machine of vm.sh: waits until the terminal is ready, then tells the serial line how the terminal is.
database=/var/lib/clockface/demo.db # where the demo, played in place of a camera, is recorded
terminal() { setpriv --reuid clockface --regid clockface --init-groups env HOME=/var/lib/clockface clockface "$@"; }
say() { echo "probe: $*"; }
for _ in $(seq 200); do
    if [ "$(systemctl is-active clockface.service)" = active ]; then break; fi
    sleep 3
done
say "uptime $(cut -d' ' -f1 /proc/uptime) s"
say "cloud-init $(cloud-init status 2>&1 | head -n 1)"
say "terminal $(systemctl is-active clockface.service), restarts $(systemctl show -P NRestarts clockface.service), watchdog $(systemctl show -P WatchdogUSec clockface.service)"
if touch /etc/probe 2> /dev/null; then rm /etc/probe; say "root is writable"; else say "root is read-only, $(findmnt -no OPTIONS /)"; fi
systemctl --failed --no-legend | while read -r unit; do say "failed: $unit"; done
if terminal log --db "$database" --verify > /run/verify 2>&1; then say "chain whole"; else say "chain broken"; fi
sed 's/^/probe: /' /run/verify
if journalctl -b -u clockface -o cat | grep -q "^clock: the system does not say"; then say "clock is not told"; else say "clock is told"; fi
journalctl -b -u clockface -u cloud-final -o cat | tail -n 30 | sed 's/^/probe: | /'
say done
if grep -q probe.update /proc/cmdline; then
    before=$(readlink /opt/clockface/current)
    cp /media/update/*.bundle /var/lib/clockface-inbox/.dropped && mv /var/lib/clockface-inbox/.dropped /var/lib/clockface-inbox/update.bundle
    for _ in $(seq 250); do
        sleep 3
        if journalctl -b -u clockface-update -u clockface -o cat | grep -q "is kept$\|^error" && [ "$(systemctl is-active clockface.service)" = active ]; then break; fi
    done
    journalctl -b -u clockface-update -u clockface -o cat | tail -n 12 | sed 's/^/probe: | /'
    if [ "$(readlink /opt/clockface/current)" = "$before" ]; then outcome="not in force"; else outcome=kept; fi
    say "update $outcome, terminal $(systemctl is-active clockface.service)"
fi
if grep -q probe.read-only /proc/cmdline; then sh /opt/clockface/current/device/board/read-only.sh /dev/vdb 2>&1 | sed 's/^/probe: | /'; fi
