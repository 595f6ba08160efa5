#!/bin/sh
# Runs inside the machine of vm.sh: waits for punches, then tells the serial line how the terminal is.
database=/var/lib/clockface/demo.db # where the demo, played in place of a camera, is recorded
terminal() { setpriv --reuid clockface --regid clockface --init-groups env HOME=/var/lib/clockface clockface "$@"; }
say() { echo "probe: $*"; }
before=$(terminal log --db "$database" --format csv 2> /dev/null | grep -c ',')
for _ in $(seq 200); do
    state=$(systemctl is-active clockface.service)
    rows=$(terminal log --db "$database" --format csv 2> /dev/null | grep -c ',')
    if [ "$state" = active ] && [ "${rows:-0}" -gt "${before:-0}" ]; then break; fi
    sleep 3
done
say "uptime $(cut -d' ' -f1 /proc/uptime) s"
say "cloud-init $(cloud-init status 2>&1 | head -n 1)"
say "root $(awk '$2 == "/" { print $4 }' /proc/mounts | cut -d, -f1)"
say "terminal $(systemctl is-active clockface.service), restarts $(systemctl show -P NRestarts clockface.service), watchdog $(systemctl show -P WatchdogUSec clockface.service)"
say "started in $(journalctl -b -u clockface -o cat | grep -m 1 -i 'first' || echo 'not told')"
systemctl --failed --no-legend | while read -r unit; do say "failed: $unit"; done
say "log rows before $before, now $rows"
if terminal log --db "$database" --verify > /run/verify 2>&1; then say "chain whole"; else say "chain broken"; fi
sed 's/^/probe: /' /run/verify
journalctl -b -u clockface -u cloud-final -o cat | tail -n 30 | sed 's/^/probe: | /'
say done
