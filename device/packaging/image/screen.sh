#!/bin/sh
# Fetches cage, Chromium and fonts from the system's own package sources, then lets install.sh put the kiosk screen in place. Run by clockface-screen.service.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends cage xwayland chromium fontconfig fonts-noto-core fonts-noto-cjk
sh /usr/share/clockface/install.sh
