# On the disk CLIPS of image.sh, started by image_probe.service in its base, no part of an image: tells the serial line how the terminal is. One that nobody has
# set up gets the code held before its camera; a person is enrolled from a portrait, then passes again and again, until the power is cut.
clips=/run/clips shown=/run/shown database=/var/lib/clockface/clockface.db
say() { echo "probe: $*"; }
tell() { sed -u 's/^/probe: | /'; }
as_terminal() { setpriv --reuid clockface --regid clockface --init-groups env HOME=/var/lib/clockface "$@"; }
terminal() { as_terminal clockface "$@"; }
stored() { as_terminal python3 -c "import sqlite3, sys; print(*next(sqlite3.connect('file:$database?mode=ro', uri=True).execute(sys.argv[1]), ['nothing']))" "$1"; }
joined() { nmcli --get-values NAME,DEVICE,STATE connection show --active | grep -q "^[^:]*:$1:activated" && ip -brief -4 address show "$1" | grep -q UP; }
started() { [ "$(cat /srv/clockface/started 2> /dev/null)" = "$IMAGE" ] && findmnt -no OPTIONS / | grep -q "^ro" && [ "$(systemctl is-active clockface.service)" = active ]; }
. /usr/share/clockface/image.env
echo wall > "$shown"
python3 "$clips/camera.py" "$clips" "$shown" "$(cat "$clips/rate")" &
until started; do
    if [ "$(systemctl is-failed clockface-first-start.service)" = failed ]; then
        journalctl -b -u clockface-first-start -o cat | tail -n 20 | tell
        say "first start failed"
        exit 1
    fi
    if [ "$(systemctl show -P NRestarts clockface.service)" -ge 5 ]; then
        journalctl -b -u clockface -o cat | tail -n 20 | tell
        say "terminal failed"
        exit 1
    fi
    sleep 1
done
say "terminal active after $(cut -d' ' -f1 /proc/uptime) s, restarts $(systemctl show -P NRestarts clockface.service)"
say "name $(cat /proc/sys/kernel/hostname), machine id $(cut -c 1-8 /etc/machine-id), zone $(cat /etc/timezone), watchdog $(systemctl show -P RuntimeWatchdogUSec)"
say "template key $(sha256sum /var/lib/clockface-keys/* 2> /dev/null | cut -c 1-8 | head -n 1), ssh key $(cut -c 60-75 /etc/ssh/ssh_host_ed25519_key.pub)"
say "data $(findmnt -no SOURCE,FSTYPE /srv/clockface), $(df -h --output=size /srv/clockface | tail -n 1 | tr -d ' ')"
if touch /etc/probe 2> /dev/null; then rm /etc/probe; say "root is writable"; else say "root is read-only"; fi
systemctl --failed --no-legend | while read -r unit; do say "failed: $unit"; done

if [ -e "$clips/wifi" ]; then # a network in this machine, on the second of two radios, for the terminal to join on the first
    say "Wi-Fi radio $(nmcli radio wifi), rules of $(iw reg get | sed -n 's/^country \(..\).*/\1/p' | head -n 1)"
    nmcli device set wlan1 managed no
    { read -r ssid; read -r password; } < "$clips/wifi"
    printf 'network={\nmode=2\nfrequency=2412\nkey_mgmt=WPA-PSK\nproto=RSN\nssid=%s\npsk=%s\n}\n' "$(printf %s "$ssid" | od -An -tx1 | tr -d ' \n')" \
        "$(wpa_passphrase "$ssid" "$password" | sed -n 's/^\s*psk=//p')" > /run/access-point.conf
    wpa_supplicant -B -D nl80211 -i wlan1 -c /run/access-point.conf | tell
    ip address add 10.77.0.1/24 dev wlan1
    dnsmasq --conf-file=/dev/null --port=0 --interface=wlan1 --bind-interfaces --dhcp-range=10.77.0.10,10.77.0.50 --dhcp-leasefile=/run/leases 2>&1 | tell
fi

echo code > "$shown"
{ python3 "$clips/person.py" set-up 2>&1; echo $? > /run/set-up; } | tell
echo wall > "$shown"
case $(cat /run/set-up) in
    0) python3 "$clips/person.py" log-in "$(cat "$clips/password")" 2>&1 | tell ;;
    3) say "set up already" ;;
    *) say "set-up failed" ;;
esac
say "site $(stored "SELECT json_extract(value, '\$.zone') FROM settings WHERE key = 'site'"), language $(stored "SELECT value FROM settings WHERE key = 'web.language'")"
if [ -e "$clips/wifi" ]; then
    for _ in $(seq 60); do joined wlan0 && break; sleep 2; done
    if joined wlan0; then say "Wi-Fi joined: $(iw dev wlan0 link | sed -n 's/^\s*SSID: //p'), $(ip -brief -4 address show wlan0)"; else say "Wi-Fi not joined"; nmcli device | tell; fi
fi
if [ "$(stored "SELECT count(*) FROM templates")" = 0 ]; then terminal enroll "Grace Hopper" --code E17 "$clips/portrait.jpg" 2>&1 | tell; fi
if terminal log --verify > /run/verify 2>&1; then say "log whole"; else say "log broken"; fi
sed -n 's/^punches/probe: punches/p' /run/verify
say "ready after $(cut -d' ' -f1 /proc/uptime) s"
echo visit > "$shown"
journalctl -b -f -n 0 -u clockface -o cat | sed -u -n 's/^recorded/probe: recorded/p; s/^error/probe: error/p'
