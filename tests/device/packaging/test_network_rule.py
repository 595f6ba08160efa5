"""The rule for polkit, run as polkit runs it: what it allows the terminal's account, and nothing to anybody else.

The actions are those of NetworkManager 1.42 (org.freedesktop.NetworkManager.policy); newer versions add some and rename none.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

RULE = Path(__file__).resolve().parents[3] / "device" / "packaging" / "70-clockface-network.rules"
NETWORKMANAGER = [
    f"org.freedesktop.NetworkManager.{name}"
    for name in (
        "enable-disable-network", "reload", "sleep-wake", "enable-disable-wifi", "enable-disable-wwan", "enable-disable-wimax", "network-control", "wifi.scan",
        "wifi.share.protected", "wifi.share.open", "settings.modify.own", "settings.modify.system", "settings.modify.hostname", "settings.modify.global-dns",
        "checkpoint-rollback", "enable-disable-statistics", "enable-disable-connectivity-check",
    )
]  # fmt: skip
OTHERS = ["org.freedesktop.login1.reboot", "org.freedesktop.systemd1.manage-units", "org.freedesktop.NetworkManager", ""]
ALLOWED = {f"org.freedesktop.NetworkManager.{name}" for name in ("network-control", "settings.modify.system", "wifi.scan")}
POLKIT = """
"use strict";
var rules = [];
globalThis.polkit = {addRule: function (rule) { rules.push(rule); }, Result: {NO: "no", YES: "yes", AUTH_ADMIN: "auth_admin", NOT_HANDLED: null}};
(0, eval)(require("fs").readFileSync(process.argv[1], "utf-8"));
var asked = JSON.parse(require("fs").readFileSync(0, "utf-8"));
var answers = asked.map(function (one) {
    return rules.map(function (rule) { return rule({id: one[1], lookup: function () {}}, {user: one[0], groups: [], active: false, local: false}) || null; });
});
console.log(JSON.stringify(answers));
"""


def test_it_allows_the_terminal_what_joining_a_wifi_needs_and_nothing_else() -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("there is no JavaScript engine here: node")
    asked = [[user, action] for user in ("clockface", "clockface2", "root", "") for action in NETWORKMANAGER + OTHERS]
    done = subprocess.run([node, "-e", POLKIT, str(RULE)], input=json.dumps(asked), capture_output=True, text=True, timeout=30, check=True)
    answers = {(user, action): answer for (user, action), answer in zip(asked, json.loads(done.stdout), strict=True)}
    assert {key for key, answer in answers.items() if answer == ["yes"]} == {("clockface", action) for action in ALLOWED}
    assert all(answer in (["yes"], [None]) for answer in answers.values())


def test_its_actions_are_networkmanagers() -> None:
    named = {text for text in RULE.read_text(encoding="utf-8").split('"') if text.startswith("org.")}
    assert named == ALLOWED and named <= set(NETWORKMANAGER)
