#!/bin/bash
# A whole machine that boots: Debian with systemd and cloud-init in an emulated PC. Its first boot finds the bundle and the shipped user-data as on a flashed
# card, installs without a network, and systemd hears that the terminal is ready; then its power is cut (the emulator is killed) and it boots again, makes its root
# read-only, boots a third time and takes an update. An emulated processor is too slow to recognise anybody: run.sh shows that.
# As root, some minutes:   tests/device/packaging/vm.sh
# Needs debootstrap qemu-system-x86 (no KVM: it emulates). WORK=DIR keeps what was made.
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=${WORK:-$(mktemp -d)} suite=${SUITE:-bookworm} python=${PYTHON_VERSION:-3.11} root=${WORK:-$work}/root
mkdir -p "$work"
say() { printf '\n== %s\n' "$*"; }
for program in debootstrap qemu-system-x86_64 mke2fs; do
    command -v "$program" > /dev/null || { echo "error: $program is missing: apt install debootstrap qemu-system-x86 e2fsprogs" >&2; exit 1; }
done

if [ ! -e "$root/usr/bin/cloud-init" ]; then
    say "$suite"
    debootstrap --arch=amd64 --variant=minbase --include=python3,openssl,systemd,systemd-sysv,udev,dbus,python3-cffi-backend,cloud-init,linux-image-cloud-amd64,procps \
        "$suite" "$root" ${MIRROR:+"$MIRROR"} > "$work/debootstrap.log"
fi

say "bundle and card"
[ -e "$work/key" ] || .venv/bin/python -m export keygen "$work/key" > /dev/null
rm -rf "$root/boot/firmware"
epoch=$(git log -1 --format=%ct)
bundle() { # folder, s after the commit
    SOURCE_DATE_EPOCH=$((epoch + $2)) .venv/bin/python -m export bundle --target x86 --python "$python" --out "$1" --key "$work/key" --wheels runs/wheels --model clockface-edge
}
bundle "$root/boot/firmware/clockface" 0
rm -rf "$root/media/update"
bundle "$root/media/update" 1
install -D -m 644 device/packaging/user-data "$root/var/lib/cloud/seed/nocloud/user-data"
printf 'instance-id: board\nlocal-hostname: board\n' > "$root/var/lib/cloud/seed/nocloud/meta-data"
chroot "$root" cloud-init schema --config-file /var/lib/cloud/seed/nocloud/user-data
printf 'CLOCKFACE_SOURCE=demo\n' > "$root/etc/default/clockface" # a machine without a camera
mkdir -p "$root/opt/clockface" # the smaller of the shipped networks: an emulated processor is a hundred times slower than a real one
printf '[store]\npath = "/var/lib/clockface/clockface.db"\n[embedder]\nmodel = "clockface-edge"\n' > "$root/opt/clockface/clockface.toml"
printf '/dev/vda / ext4 defaults 0 1\n' > "$root/etc/fstab"
install -m 755 tests/device/packaging/vm_probe.sh "$root/usr/local/sbin/probe"
cat > "$root/etc/systemd/system/probe.service" << 'UNIT'
[Unit]
Description=Tell the serial line how the terminal is
[Service]
ExecStart=/usr/local/sbin/probe
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../probe.service "$root/etc/systemd/system/multi-user.target.wants/probe.service"
rm -f "$work/card.img"
mke2fs -q -t ext4 -d "$root" "$work/card.img" 3G
rm -f "$work/second.img"
mke2fs -q -t ext4 "$work/second.img" 2G # what read-only.sh takes for /var

machine() { # log, more of the kernel's command line
    rm -f "$1" # an earlier run's
    qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m 1024 -display none -serial "file:$1" -no-reboot -nic none \
        -drive "file=$work/card.img,if=virtio,format=raw" -drive "file=$work/second.img,if=virtio,format=raw" \
        -kernel "$root/vmlinuz" -initrd "$root/initrd.img" -append "root=/dev/vda console=ttyS0 quiet panic=-1 ${2:-}" &
    vm=$!
    trap 'kill -9 $vm 2> /dev/null || true' EXIT
}
wait_for() { # words, log, seconds
    for _ in $(seq "$3"); do
        if grep -aq -- "$1" "$2" 2> /dev/null; then return; fi
        kill -0 "$vm" 2> /dev/null || break
        sleep 1
    done
    echo "FAILED: '$1' does not show in $2; its end:" >&2
    tail -40 "$2" >&2
    exit 1
}
shown() { tr -d '\r' < "$1" | sed -n 's/.*probe: /probe: /p'; }

say "first boot"
machine "$work/first.log"
wait_for "probe: done" "$work/first.log" 900
shown "$work/first.log"

say "the power is cut"
sleep 20
kill -9 "$vm"
wait "$vm" || true

say "second boot, at its end the root is made read-only"
machine "$work/second.log" probe.read-only
wait_for "reboot: Restarting system" "$work/second.log" 900 # where it would boot again, the emulator ends
wait "$vm" || true
shown "$work/second.log"

say "third boot, read-only root; an update is dropped into the inbox"
machine "$work/third.log" probe.update
wait_for "probe: done" "$work/third.log" 600
wait_for "probe: update" "$work/third.log" 900 # as long as the probe waits
shown "$work/third.log"
kill -9 "$vm"
wait "$vm" || true

grep -aq "probe: root is read-only" "$work/third.log" || { echo "FAILED: the root is not read-only in $work/third.log" >&2; exit 1; }
grep -aq "probe: update kept, terminal active" "$work/third.log" || { echo "FAILED: the update is not in force in $work/third.log" >&2; exit 1; }
for log in first second third; do
    grep -aq "probe: terminal active" "$work/$log.log" || { echo "FAILED: the terminal is not active in $work/$log.log" >&2; exit 1; }
    grep -aq "probe: clock is told" "$work/$log.log" || { echo "FAILED: the unit may not ask for the clock in $work/$log.log" >&2; exit 1; }
    grep -aq "probe: chain whole" "$work/$log.log" || { echo "FAILED: the chain is not whole in $work/$log.log" >&2; exit 1; }
done
say "done: everything as expected"
