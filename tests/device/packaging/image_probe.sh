#!/bin/sh
# Part of the base that image.sh boots (PROBE=... of base.sh), no part of an image: tells the serial line how the terminal is. A person is enrolled from a portrait
# on the disk CLIPS, then its clip is played again and again, a punch each time, until the power is cut.
say() { echo "probe: $*"; }
terminal() { setpriv --reuid clockface --regid clockface --init-groups env HOME=/var/lib/clockface clockface "$@"; }
for _ in $(seq 400); do
    if [ "$(cat /srv/clockface/started 2> /dev/null)" = "$(sed -n s/IMAGE=//p /usr/share/clockface/image.env)" ] && [ "$(systemctl is-active clockface.service)" = active ]; then break; fi
    sleep 2
done
say "terminal $(systemctl is-active clockface.service) after $(cut -d' ' -f1 /proc/uptime) s, restarts $(systemctl show -P NRestarts clockface.service)"
say "name $(cat /proc/sys/kernel/hostname), machine id $(cut -c 1-8 /etc/machine-id), zone $(cat /etc/timezone), watchdog $(systemctl show -P RuntimeWatchdogUSec)"
say "template key $(sha256sum /var/lib/clockface-keys/* 2> /dev/null | cut -c 1-8 | head -n 1), ssh key $(cut -c 60-75 /etc/ssh/ssh_host_ed25519_key.pub)"
say "data $(findmnt -no SOURCE,FSTYPE /srv/clockface), $(df -h --output=size /srv/clockface | tail -n 1 | tr -d ' ')"
if touch /etc/probe 2> /dev/null; then rm /etc/probe; say "root is writable"; else say "root is read-only"; fi
systemctl --failed --no-legend | while read -r unit; do say "failed: $unit"; done
mkdir -p /run/clips
mount -o ro LABEL=CLIPS /run/clips
if [ "$(terminal people list --json 2> /dev/null | grep -c Grace)" = 0 ]; then terminal enroll "Grace Hopper" --code E17 /run/clips/portrait.jpg 2>&1 | sed 's/^/probe: | /'; fi
if terminal log --verify > /run/verify 2>&1; then say "log whole"; else say "log broken"; fi
sed -n 's/^punches/probe: punches/p' /run/verify
journalctl -b -u clockface-first-start -o cat | tail -n 6 | sed 's/^/probe: | /'
say ready
systemctl stop clockface.service # an emulated processor has enough to do with the clip
while :; do
    terminal run --once --headless --no-web --source /run/clips/visit.avi 2>&1 | sed -n 's/^recorded/probe: recorded/p; s/^error/probe: error/p'
done
