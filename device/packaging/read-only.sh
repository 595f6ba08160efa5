#!/bin/sh
# Makes the root file system read-only, so that a power cut finds nothing half written there: sudo sh read-only.sh PARTITION. Ends with a reboot.
# PARTITION, an empty ext4, becomes /var: data, keys, journal, and /var/opt/clockface, which is seen as /opt/clockface. Never formats anything.
set -eu
fail() { echo "error: $*" >&2; exit 1; }
partition=${1:-}
[ "$(id -u)" = 0 ] || fail "run it as root: sudo $0 PARTITION"
[ -b "$partition" ] || { echo "usage: sudo $0 PARTITION   (with an empty ext4 file system, such as /dev/sda1)" >&2; exit 2; }
[ -e /opt/clockface/current ] || fail "Clockface is not installed yet: run install.sh first"
[ -w /etc ] || fail "the root file system is read-only already"
[ "$(blkid -s TYPE -o value "$partition")" = ext4 ] || fail "$partition has no ext4 file system: mkfs.ext4 $partition makes one and deletes what is there"
grep -Eq '^[^#[:space:]]+[[:space:]]+/[[:space:]]' /etc/fstab || fail "/etc/fstab has no line for the root file system"
if grep -Eq '^[^#[:space:]]+[[:space:]]+(/var|/opt/clockface)[[:space:]]' /etc/fstab; then fail "/etc/fstab has a line for /var or /opt/clockface already"; fi

new=$(mktemp -d /run/clockface-new.XXXXXX) old=$(mktemp -d /run/clockface-old.XXXXXX)
mount "$partition" "$new"
trap 'umount "$new"' EXIT
[ -z "$(find "$new" -mindepth 1 -not -name lost+found -print -quit)" ] || fail "$partition is not empty: mkfs.ext4 $partition deletes what is there"
for unit in clockface-update.path clockface-update.service clockface-kiosk.service clockface.service; do
    systemctl stop "$unit" 2> /dev/null || true
done
cp -ax /var/. "$new"
mkdir -p "$new/opt/clockface"
cp -ax /opt/clockface/. "$new/opt/clockface"
sync

# cloud-init has done its work, and would write to the root file system at each boot.
if [ -d /etc/cloud ]; then touch /etc/cloud/cloud-init.disabled; fi
{
    awk '!/^#/ && ($2 == "/" || $2 ~ "^/boot") { $4 = $4 ",ro" } { print }' /etc/fstab
    echo "UUID=$(blkid -s UUID -o value "$partition") /var ext4 defaults,noatime 0 2"
    echo "/var/opt/clockface /opt/clockface none bind 0 0"
    grep -Eq '^[^#[:space:]]+[[:space:]]+/tmp[[:space:]]' /etc/fstab || echo "tmpfs /tmp tmpfs nosuid,nodev,mode=1777 0 0"
} > /etc/fstab.new
sync
mv /etc/fstab.new /etc/fstab
sync

# What was moved must not stay behind beneath the mounts, where nobody would erase it.
mount --bind / "$old"
for place in opt/clockface var/lib/clockface var/lib/clockface-keys var/lib/clockface-inbox; do
    find "$old/$place" -mindepth 1 -delete
done
umount "$old"
sync
echo "the root file system is read-only after the reboot, which comes now"
systemctl reboot
