#!/bin/bash
# An image, from a base to a terminal whose power is cut: a small Debian becomes an image by `python -m export image`, is written to a file by `python -m export flash`
# and started by EFI in an emulated machine. At the first start it sets itself up without a network. Its camera, one in the network that runs inside the machine, then
# shows a set-up code of `python -m device settings --code`: the terminal takes it, its administrator logs in with the password of the code, a person is enrolled and
# recorded. Then the power is cut (the emulator is killed) CUTS times at random moments: no punch that was told may be missing, the log is whole, and the read-only
# root has not changed by a bit.
# As root:   tests/device/packaging/image.sh uml|amd64|arm64
# uml is the image for x86 under a kernel that runs as a process, without firmware, at the speed of this machine; the others are emulated from the firmware on, slowly.
# Needs what base.sh needs, and user-mode-linux, or qemu-system-x86 with ovmf, or qemu-system-arm with qemu-efi-aarch64. WORK=DIR keeps what was made; what lies
# there is used again, the code excepted: it is good for an hour. BASE=FILE names a base that is there. WIFI=yes puts a Wi-Fi into the code, which the machine
# has: an access point on one of two radios that exist in the kernel alone, and the terminal joins it on the other (not with uml). LIMIT=S ends it after S
# seconds, with exit status 75 where the machine still wrote to its log, so that it was only slow.
set -euo pipefail
cd "$(dirname "$0")/../../.."
kind=${1:-uml} cuts=${CUTS:-10} limit=${LIMIT:-0} work=${WORK:-$(mktemp -d)} here=tests/device/packaging
base=${BASE:-$work/base.img}
mkdir -p "$work"
say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
case $kind in
    uml) architecture=uml target=x86 emulator=linux.uml firmware=/dev/null rate=4 ;;
    amd64) architecture=amd64 target=x86 emulator="qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem" firmware=/usr/share/OVMF/OVMF_CODE_4M.fd rate=1 ;;
    arm64) architecture=arm64 target=rpi emulator="qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg,thread=multi" firmware=/usr/share/AAVMF/AAVMF_CODE.fd rate=1 ;;
    *) echo "usage: $0 uml|amd64|arm64" >&2; exit 2 ;;
esac
command -v ${emulator%% *} > /dev/null && [ -e "$firmware" ] || fail "${emulator%% *} or $firmware is missing: apt install user-mode-linux uml-utilities, qemu-system-x86 ovmf or qemu-system-arm qemu-efi-aarch64"
python=.venv/bin/python

say "base, bundle, image"
[ -e "$base" ] || PROBE=yes $here/base.sh "$architecture" "$base"
[ -e "$work/key" ] || $python -m export keygen "$work/key"
ls "$work"/bundle/*.bundle > /dev/null 2>&1 || $python -m export bundle --target "$target" --python 3.11 --key "$work/key" --out "$work/bundle" --model clockface-edge
cat > "$work/site.toml" << 'TOML'
[embedder]
model = "clockface-edge" # the smaller network
[liveness]
mode = "off" # the visitor is a photograph
[attendance]
refractory_seconds = 2
TOML
[ -e "$work/terminal.img" ] || $python -m export image "$base" --bundle "$work/bundle" --out "$work/terminal.img" --config "$work/site.toml" \
    --camera http://127.0.0.1:8099/ --zone Europe/Berlin --no-screen --read-only --root-free 400
if [ ! -e "$work/card" ]; then
    truncate -s 6G "$work/card"
    $python -m export flash "$work/terminal.img" "$work/card" --yes
fi

say "what the camera sees"
rm -rf "$work/clip" "$work/clips" "$work/other"
mkdir "$work/clip" "$work/other"
code() { CLOCKFACE_KEYS="$work/other/keys" $python -m device "$@" --db "$work/other/clockface.db"; } # of another terminal
code schedule site --zone Asia/Tokyo
wifi=()
if [ -n "${WIFI:-}" ]; then
    wifi=(--wifi 'Büro: 2 \ Nord') CLOCKFACE_WIFI_PASSWORD='it'"'"'s "12" $x; a\b:c'
    export CLOCKFACE_WIFI_PASSWORD
    printf '%s\n' "${wifi[1]}" "$CLOCKFACE_WIFI_PASSWORD" > "$work/clip/wifi"
fi
code settings --code --admin --language tr "${wifi[@]}" --out "$work/other/code.png" | sed -n 's/.*password \([^ ]*\) (.*/\1/p' > "$work/clip/password"
$python -m $(echo $here/image_clip | tr / .) "$work/other/code.png" "$work/clip"
echo "$rate" > "$work/clip/rate"
for file in probe.sh camera.py person.py; do cp "$here/image_$file" "$work/clip/$file"; done
chmod -R a+rX "$work/clip"
mke2fs -q -t ext4 -L CLIPS -d "$work/clip" "$work/clips" 32M

machine() { # log
    rm -f "$1"
    if [ "$kind" = uml ]; then
        TMPDIR=/dev/shm setsid linux.uml "ubd0=$work/card" "ubd1r=$work/clips" root=/dev/ubda2 ro mem=1024M con0=null,fd:1 con=null quiet > "$1" 2>&1 < /dev/null &
    else
        setsid $emulator -smp 2 -m 1024 -display none -serial "file:$1" -nic none -smbios type=1,serial=PC0000A1B2C3D4 \
            -drive "if=pflash,format=raw,readonly=on,file=$firmware" -drive "file=$work/card,if=virtio,format=raw" \
            -drive "file=$work/clips,if=virtio,format=raw,readonly=on" &
    fi
    vm=$!
    trap cut EXIT
}
cut() { # the power
    kill -9 -- "-$vm" 2> /dev/null || true
    wait "$vm" 2> /dev/null || true
}
wait_for() { # words, log, seconds
    for _ in $(seq "$3"); do
        if grep -aq -- "$1" "$2" 2> /dev/null; then return; fi
        if grep -aEq "probe: (first start failed|set-up failed|terminal failed|log broken)|Kernel panic|no release is in force" "$2" 2> /dev/null; then break; fi
        kill -0 "$vm" 2> /dev/null || break
        if [ "$limit" -gt 0 ] && [ "$SECONDS" -ge "$limit" ]; then
            [ $(($(date +%s) - $(stat -c %Y "$2"))) -lt 120 ] || break # that long without a line is no slow machine, it hangs
            echo "SLOW: no '$1' within $limit s; it stands at: $(tail -n 1 "$2" | tr -d '\r')" >&2
            exit 75
        fi
        sleep 1
    done
    tail -30 "$2" >&2
    fail "'$1' does not show in $2"
}
shown() { tr -d '\r' < "$1" | sed -n 's/.*probe: /probe: /p'; }
told_in() { grep -ac "probe: recorded" "$1" || true; }
expect() { grep -aq -- "$1" "$2" || fail "'$1' does not show in $2"; }
root_hash() { # of the root partition
    read -r start size < <(sfdisk --json "$work/card" | $python -c "import json, sys; part = json.load(sys.stdin)['partitiontable']['partitions'][1]; print(part['start'], part['size'])")
    dd if="$work/card" bs=512 skip="$start" count="$size" status=none | sha256sum
}

if [ ! -e "$work/root.sha256" ]; then
    say "first start, and the one after it"
    began=$(date +%s)
    machine "$work/first.log"
    wait_for "probe: recorded" "$work/first.log" "${PATIENCE:-7200}"
    shown "$work/first.log"
    cut
    expect "tap: finish" "$work/first.log"
    expect "login of admin leads to /password" "$work/first.log"
    expect "probe: site Asia/Tokyo, language \"tr\"" "$work/first.log"
    expect "probe: log whole" "$work/first.log"
    expect "probe: root is read-only" "$work/first.log"
    [ -z "${WIFI:-}" ] || { expect "probe: Wi-Fi radio enabled, rules of DE" "$work/first.log"; expect "probe: Wi-Fi joined" "$work/first.log"; }
    say "$(tr -d '\r' < "$work/first.log" | sed -n 's/.*\(first start: done after .*\)/\1/p'); from power to the first punch $(($(date +%s) - began)) s"
    [ "$cuts" = 0 ] || root_hash > "$work/root.sha256"
fi
told=$(told_in "$work/first.log")
for number in $(seq "$cuts"); do
    machine "$work/cut$number.log"
    wait_for "probe: recorded" "$work/cut$number.log" "${PATIENCE:-7200}"
    sleep $((RANDOM % 20))
    cut
    kept=$(shown "$work/cut$number.log" | sed -n 's/^probe: punches: \([0-9]*\) rows.*/\1/p')
    say "start $number: $(shown "$work/cut$number.log" | grep -a "probe: terminal"), $told punches told before the cut, $kept kept"
    expect "probe: log whole" "$work/cut$number.log"
    expect "probe: root is read-only" "$work/cut$number.log"
    [ -z "${WIFI:-}" ] || expect "probe: Wi-Fi joined" "$work/cut$number.log"
    [ "$kept" -ge "$told" ] || fail "a punch is missing after cut $number"
    told=$((kept + $(told_in "$work/cut$number.log")))
done
[ "$cuts" = 0 ] || [ "$(root_hash)" = "$(cat "$work/root.sha256")" ] || fail "the read-only root has changed"
say "done: everything as expected"
