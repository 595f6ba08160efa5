#!/bin/sh
# Makes a terminal of its own out of an image that many boards share (docs/image.md): started by clockface-first-start.service at every boot, works at the first
# one, after a reset that emptied the data partition, and under a new image. Every step may be repeated, so a power cut meanwhile does no harm.
set -eu
here=/usr/share/clockface
disk=/srv/clockface # the data partition
. "$here/image.env" # IMAGE, NAME, BOOT, READ_ONLY, APART
marker=$disk/started
reset= # whether a reset to factory asks for a first start; the release that is installed stays, which may be newer than that of the image
if [ -e "$disk/data/first-start" ] && [ "$(cat "$marker" 2> /dev/null || true)" = "$IMAGE" ]; then reset=yes; fi
[ -n "$reset" ] || [ "$(cat "$marker" 2> /dev/null || true)" != "$IMAGE" ] || exit 0
say() { echo "first start: $*"; }
began=$(cut -d. -f1 /proc/uptime)
locked= # whether the root is read-only already: a reset on a terminal that runs so
if [ ! -w /etc ]; then locked=yes; mount -o remount,rw /; fi

# The data partition takes the rest of the card. It is the last one, and grows while it is mounted.
if [ "$APART" = yes ]; then
    partition=$(findmnt -no SOURCE "$disk")
    number=$(cat "/sys/class/block/${partition#/dev/}/partition")
    whole=/dev/$(lsblk -no PKNAME "$partition" | head -n 1)
    # udev keeps away from a locked disk. It would read a table that is half written, and systemd would take the partition for gone and stop what needs it, this too.
    exec 9< "$whole"
    flock 9
    if [ "$(lsblk -dno PTTYPE "$whole")" = gpt ]; then sfdisk --quiet --no-reread --no-tell-kernel --force --relocate gpt-bak-std "$whole" > /dev/null; fi
    echo ", +" | sfdisk --quiet --no-reread --no-tell-kernel --force -N "$number" "$whole" > /dev/null
    partx --update --nr "$number" "$whole"
    resize2fs "$partition" > /dev/null
    exec 9<&-
    say "the data partition $partition has $(df -h --output=size "$disk" | tail -n 1 | tr -d ' ')"
fi
install -d -m 700 "$disk/data" "$disk/keys" "$disk/inbox" "$disk/network" "$disk/kept"
install -d -m 755 "$disk/opt"

# What tells this machine from others: its name from its serial number, its id, its SSH keys. A new image over the old one finds them on the data partition.
serial() {
    for file in /proc/device-tree/serial-number /sys/class/dmi/id/product_serial /sys/class/dmi/id/board_serial /sys/class/net/e*/address /sys/class/net/w*/address; do
        text=$(tr -cd 'A-Za-z0-9' 2> /dev/null < "$file" | tr 'A-Z' 'a-z') || continue
        case $text in "" | ? | ?? | ??? | *none* | *default* | *filled* | *specified* | *serialnumber* | 000000000000) continue ;; esac
        echo "$text"
        return
    done
    cat /etc/machine-id
}
text=$(serial)
name=$NAME-$(printf %s "$text" | tail -c 8)
echo "$name" > /etc/hostname
echo "$name" > /proc/sys/kernel/hostname
if grep -q '^127\.0\.1\.1' /etc/hosts 2> /dev/null; then sed -i "s/^127\.0\.1\.1.*/127.0.1.1 $name/" /etc/hosts; else echo "127.0.1.1 $name" >> /etc/hosts; fi
again= # whether the machine has to start once more
if [ -s "$disk/kept/machine-id" ]; then
    if ! cmp -s "$disk/kept/machine-id" /etc/machine-id; then cp "$disk/kept/machine-id" /etc/machine-id; again=yes; fi
else
    cp /etc/machine-id "$disk/kept/machine-id"
fi
if [ -d /etc/ssh ] && command -v ssh-keygen > /dev/null; then
    cp -p "$disk"/kept/ssh_host_* /etc/ssh 2> /dev/null || ssh-keygen -A > /dev/null
    cp -p /etc/ssh/ssh_host_* "$disk/kept"
    systemctl restart --no-block ssh.service 2> /dev/null || true
fi
say "this machine is $name"

# The site's settings: those on the boot partition, which may be edited before the first start, else those of the image. Settings that are here already stay.
for file in "$BOOT/clockface.toml" "$here/clockface.toml"; do
    if [ -e "$file" ] && [ ! -e /opt/clockface/clockface.toml ]; then
        install -m 644 "$file" /opt/clockface/clockface.toml.new
        mv /opt/clockface/clockface.toml.new /opt/clockface/clockface.toml
        say "settings are those of $file"
    fi
done
if [ -z "$reset" ] || [ ! -e /opt/clockface/current ]; then sh "$here/install.sh"; fi

# The read-only root: /var lies on the data partition, /tmp in memory, and what would write to the root at each boot is switched off.
if [ "$READ_ONLY" = yes ] && ! grep -Eq '^[^#[:space:]]+[[:space:]]+/var[[:space:]]' /etc/fstab; then
    rm -rf "$disk/var.new" "$disk/var"
    install -d "$disk/var.new"
    cp -ax /var/. "$disk/var.new"
    sync
    mv "$disk/var.new" "$disk/var"
    if [ -d /etc/cloud ]; then touch /etc/cloud/cloud-init.disabled; fi
    if [ -e /etc/resolv.conf ] && [ ! -L /etc/resolv.conf ] && command -v NetworkManager > /dev/null; then ln -sfn /run/NetworkManager/resolv.conf /etc/resolv.conf; fi
    {
        awk '!/^#/ && ($2 == "/" || $2 ~ "^/boot") { $4 = $4 ",ro" } { print }' /etc/fstab
        echo "$disk/var /var none bind,nofail,x-systemd.before=local-fs.target 0 0"
        echo "tmpfs /tmp tmpfs nosuid,nodev,mode=1777 0 0"
    } > /etc/fstab.new
    sync
    mv /etc/fstab.new /etc/fstab
    again=yes
fi
if [ -n "$locked" ]; then
    if [ ! -d "$disk/var" ]; then cp -ax /var/. "$disk/var.new"; sync; mv "$disk/var.new" "$disk/var"; fi # a reset emptied it
    again=yes
fi
sync
echo "$IMAGE" > "$marker.new"
mv "$marker.new" "$marker"
rm -f "$disk/data/first-start"
sync
say "done after $(($(cut -d. -f1 /proc/uptime) - began)) s"
if [ -n "$again" ]; then say "the machine starts once more"; systemctl reboot --no-block; fi
