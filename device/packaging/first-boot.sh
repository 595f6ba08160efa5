#!/bin/sh
# For boards without cloud-init, such as a Jetson: sudo ./first-boot.sh ROOTFS prepares a mounted root file system to install Clockface when it boots first.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
rootfs=${1:-}
if [ -z "$rootfs" ] || [ ! -d "$rootfs/etc/systemd/system" ]; then echo "usage: sudo $0 ROOTFS   (the board's mounted root file system)" >&2; exit 2; fi
setup=$rootfs/var/lib/clockface-setup
rm -rf "$setup"
install -d -m 755 "$setup"
cp "$here"/* "$setup"
cat > "$rootfs/etc/systemd/system/clockface-first-boot.service" << 'UNIT'
[Unit]
Description=Install Clockface at the first boot
ConditionPathExists=/var/lib/clockface-setup/install.sh
After=local-fs.target systemd-sysusers.service

[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/clockface-setup/install.sh
ExecStartPost=/bin/rm -rf /var/lib/clockface-setup

[Install]
WantedBy=multi-user.target
UNIT
install -d "$rootfs/etc/systemd/system/multi-user.target.wants"
ln -sfn ../clockface-first-boot.service "$rootfs/etc/systemd/system/multi-user.target.wants/clockface-first-boot.service"
echo "$rootfs installs Clockface when it boots; what it says then: journalctl -u clockface-first-boot"
