#!/bin/bash
# A small Debian that starts by EFI, as the base of an image: a FAT partition with systemd-boot, kernel and initrd, then the root, as on a Raspberry Pi's card.
# As root, some minutes:   tests/device/packaging/base.sh uml|amd64|arm64 BASE.img     writes BASE.img and BASE.img.sha256
# uml is amd64 without kernel and boot loader, which a kernel that runs as a process does not need: half the work.
# Needs mmdebstrap mtools fdisk e2fsprogs dosfstools; for arm64 on a PC also qemu-user-static. TAR=FILE keeps the packages of an earlier
# call; PROBE=yes adds what image.sh looks at; WIFI=yes adds NetworkManager and two radios that exist in the kernel alone (mac80211_hwsim), switched off as on
# Raspberry Pi OS.
set -euo pipefail
cd "$(dirname "$0")/../../.."
architecture=$1 base=$2 suite=${SUITE:-bookworm} tar=${TAR:-$2.tar}
case $architecture in
    uml) kernel= loader= boot= console= label=gpt esp=C12A7328-F81F-11D2-BA4B-00A0C93EC93B root=0FC63DAF-8483-4772-8E79-3D69D8477DE4 ;;
    amd64) kernel=systemd-boot-efi,initramfs-tools,linux-image-cloud-amd64 loader=systemd-bootx64.efi boot=BOOTX64.EFI console=ttyS0 label=gpt esp=C12A7328-F81F-11D2-BA4B-00A0C93EC93B root=0FC63DAF-8483-4772-8E79-3D69D8477DE4 ;;
    arm64) kernel=systemd-boot-efi,initramfs-tools,linux-image-cloud-arm64 loader=systemd-bootaa64.efi boot=BOOTAA64.EFI console=ttyAMA0 label=dos esp=ef root=83 ;;
    *) echo "usage: $0 uml|amd64|arm64 BASE.img" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "error: run it as root" >&2; exit 1; }
for program in mmdebstrap mcopy sfdisk mke2fs mkfs.vfat; do
    command -v "$program" > /dev/null || { echo "error: $program is missing: apt install mmdebstrap mtools fdisk e2fsprogs dosfstools" >&2; exit 1; }
done
size=900
packages=python3,openssl,systemd,systemd-sysv,udev,dbus,kmod,fdisk,e2fsprogs,iproute2,openssh-server,procps,passwd,tzdata,util-linux
if [ -n "${WIFI:-}" ]; then
    kernel=${kernel/linux-image-cloud/linux-image} size=1500
    packages+=,network-manager,wpasupplicant,polkitd,dnsmasq-base,iw,wireless-regdb
fi
if [ ! -s "$tar" ]; then
    mmdebstrap --format=tar --dpkgopt=force-unsafe-io --variant=minbase --architectures="${architecture/uml/amd64}" --include="$packages${kernel:+,$kernel}" "$suite" "$tar.part"
    mv "$tar.part" "$tar" # whole or not there
fi

work=$(mktemp -d "$base.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
tar -xf "$tar" -C "$work/root" --exclude=./dev/* --exclude=./usr/share/doc/* --exclude=./usr/share/locale/* --exclude=./var/cache/apt/*.bin
mkdir -p "$work/root/boot/efi"
disk=70a5c1f0 uuid=5a1d0c3e-7f5b-4c0e-9e0b-2f6d3b1c7a90
if [ "$label" = dos ]; then place=$disk-02 disk=0x$disk; else place=$uuid disk=8f0e7a54-2c5e-4f59-8a0d-1f7d1e0b9a11; fi
printf 'PARTUUID=%s / ext4 errors=remount-ro 0 1\nLABEL=BOOT /boot/efi vfat umask=0077,nofail 0 2\n' "$place" > "$work/root/etc/fstab"
echo board > "$work/root/etc/hostname"
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' > "$work/root/etc/systemd/network/wired.network"

if [ -n "${WIFI:-}" ]; then
    echo mac80211_hwsim > "$work/root/etc/modules-load.d/radios.conf"
    printf 'options mac80211_hwsim radios=2\noptions rfkill default_state=0\n' > "$work/root/etc/modprobe.d/radios.conf"
    printf '[main]\nWirelessEnabled=false\n' > "$work/root/var/lib/NetworkManager/NetworkManager.state"
fi
if [ -n "${PROBE:-}" ]; then # for image.sh
    install -D -m 644 -t "$work/root/etc/systemd/system" tests/device/packaging/image_probe.service
    ln -s ../image_probe.service "$work/root/etc/systemd/system/multi-user.target.wants"
fi

truncate -s 160M "$work/boot.fat"
mkfs.vfat -n BOOT "$work/boot.fat" > /dev/null
if [ -n "$kernel" ]; then
    mmd -i "$work/boot.fat" ::EFI ::EFI/BOOT ::loader ::loader/entries
    mcopy -i "$work/boot.fat" "$work/root/usr/lib/systemd/boot/efi/$loader" "::EFI/BOOT/$boot"
    mcopy -i "$work/boot.fat" "$work"/root/boot/vmlinuz-* ::vmlinuz
    mcopy -i "$work/boot.fat" "$work"/root/boot/initrd.img-* ::initrd.img
    printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions root=PARTUUID=%s ro console=%s quiet panic=-1\n' "$place" "$console" | mcopy -i "$work/boot.fat" - ::loader/entries/debian.conf
    printf 'timeout 0\n' | mcopy -i "$work/boot.fat" - ::loader/loader.conf
    rm "$work"/root/boot/vmlinuz-* "$work"/root/boot/initrd.img-*
fi

mke2fs -q -t ext4 -d "$work/root" "$work/root.ext4" "${size}M"
truncate -s $((size + 162))M "$work/disk"
{
    printf 'label: %s\nlabel-id: %s\n' "$label" "$disk"
    printf 'start=2048, size=%d, type=%s\n' $((160 * 2048)) "$esp"
    printf 'start=%d, size=%d, type=%s%s\n' $((161 * 2048)) $((size * 2048)) "$root" "$([ "$label" = dos ] || echo ", uuid=$uuid")"
} | sfdisk --quiet "$work/disk"
dd if="$work/boot.fat" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/root.ext4" of="$work/disk" bs=1M seek=161 conv=notrunc,sparse status=none
mv "$work/disk" "$base"
(cd "$(dirname "$base")" && sha256sum "$(basename "$base")" > "$(basename "$base").sha256")
echo "$base: $(stat -c %s "$base") bytes, $architecture"
