#!/bin/bash
# A board from nothing, without a network: debootstrap, install the bundle, doctor, enrol and recognise from a clip, update, a broken update put
# back, a changed bundle refused, uninstall. As root:   tests/device/packaging/run.sh x86|rpi [CLIP]   (rpi is emulated by qemu-user; some minutes)
set -euo pipefail
# Mounts of its own: whatever ends this script, none of this machine's stays mounted below the root.
[ -n "${OWN_MOUNTS:-}" ] || OWN_MOUNTS=1 exec unshare --mount bash "$0" "$@"
cd "$(dirname "$0")/../../.."
target=${1:?usage: tests/device/packaging/run.sh x86|rpi [CLIP]}
clip=${2:-../shared/clips/again.mkv}
case $target in
    x86) arch=amd64 ;;
    rpi) arch=arm64 ;;
    *) echo "usage: $0 x86|rpi [CLIP]" >&2; exit 2 ;;
esac
suite=${SUITE:-bookworm} python=${PYTHON_VERSION:-3.11}
work=${WORK:-$(mktemp -d)}
root=$work/$suite-$arch
say() { printf '\n== %s\n' "$*"; }
inside() { unshare --net chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin HOME=/root LANG=C.UTF-8 "$@"; }
terminal() { inside setpriv --reuid clockface --regid clockface --init-groups clockface "$@"; }
expect() { grep -q -- "$1" "$work/said" || { echo "FAILED: expected '$1' in:" >&2; cat "$work/said" >&2; exit 1; }; }

if [ "$arch" != "$(dpkg --print-architecture)" ] && [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    echo "error: this kernel does not start arm64 programs: apt install qemu-user-static binfmt-support, then update-binfmts --enable qemu-aarch64" >&2
    exit 1
fi

if [ ! -e "$root/usr/bin/python3" ]; then
    say "$suite for $arch"
    foreign=()
    [ "$arch" = "$(dpkg --print-architecture)" ] || foreign=(--foreign)
    debootstrap "${foreign[@]}" --arch="$arch" --variant=minbase --include=python3,openssl,systemd,udev "$suite" "$root" ${MIRROR:+"$MIRROR"} > "$work/debootstrap.log"
    if [ ${#foreign[@]} -gt 0 ]; then
        chroot "$root" /debootstrap/debootstrap --second-stage >> "$work/debootstrap.log"
    fi
fi
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"

say "bundles"
epoch=$(git log -1 --format=%ct)
[ -e "$work/key" ] || .venv/bin/python -m export keygen "$work/key" > "$work/said"
build() { # folder, s after the commit, checkout, more arguments
    rm -rf "${root:?}/media/$1"
    (cd "$3" && SOURCE_DATE_EPOCH=$((epoch + $2)) "$OLDPWD/.venv/bin/python" -m export bundle --target "$target" --python "$python" --out "$root/media/$1" \
        --key "$work/key" --wheels "$OLDPWD/runs/wheels" "${@:4}" > "$work/said")
}
build first 0 . --deb
build second 1 .
rm -rf "$work/broken"
mkdir "$work/broken"
git archive HEAD device export training pyproject.toml LICENSE | tar -x -C "$work/broken"
ln -s "$PWD/models" "$work/broken/models"
echo 'raise RuntimeError("broken on purpose")' >> "$work/broken/device/terminal/pipeline.py"
build broken 2 "$work/broken"
cp "$clip" "$root/media/clip.mkv"

say "install, twice"
inside sh /media/first/install.sh
inside sh /media/first/install.sh
inside systemctl is-enabled clockface.service clockface-update.path
[ "$(inside stat -c '%a %U' /var/lib/clockface)" = "700 clockface" ] || { echo "FAILED: /var/lib/clockface is not the terminal's alone" >&2; exit 1; }

say "doctor"
terminal doctor --source demo | tee "$work/said"
expect "files as signed"

say "enrol and recognise"
terminal enroll A --camera /media/clip.mkv | tee "$work/said"
expect "enrolled A"
terminal run --source /media/clip.mkv --once --headless | tee "$work/said"
expect "recorded .* A in"
terminal log --format json > "$work/said"
expect '"name": "A"'

say "update"
inside sh -c 'clockface update /media/second/*.bundle' | tee "$work/said"
expect "is on trial"
terminal run --source /media/clip.mkv --once --headless | tee "$work/said"
inside clockface update confirm | tee "$work/said"
expect "is kept"

say "a broken update is put back"
inside sh -c 'clockface update /media/broken/*.bundle' | tee "$work/said" || true
for _ in 1 2 3 4; do
    inside clockface update guard | tee -a "$work/said"
    terminal run --source /media/clip.mkv --once --headless > /dev/null 2>&1 || true
done
expect "back to"
terminal run --source /media/clip.mkv --once --headless | tee "$work/said"
expect "end: "

say "a changed bundle is refused"
inside sh -c 'f=$(ls /media/second/*.bundle); printf x | dd of="$f" bs=1 seek=9000000 conv=notrunc status=none; clockface update "$f" 2>&1 || true' | tee "$work/said"
expect "not the file that was signed"

say "uninstall"
inside sh /media/first/uninstall.sh
[ ! -e "$root/opt/clockface" ] && [ -e "$root/var/lib/clockface/clockface.db" ]
inside sh /media/first/uninstall.sh --data
[ ! -e "$root/var/lib/clockface" ]
say "the same as a package"
inside sh -c 'dpkg --install /media/first/*.deb' | tee "$work/said"
expect "is kept"
terminal doctor --source demo | tee "$work/said"
expect "files as signed"
package=$(inside dpkg-query --show --showformat '${Package}' 'clockface-*')
inside dpkg --purge "$package"
[ ! -e "$root/opt/clockface" ] && [ ! -e "$root/var/lib/clockface" ]

say "done: everything as expected"
