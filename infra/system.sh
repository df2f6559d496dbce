#!/bin/sh
# Install what the system lacks from Debian's or Ubuntu's packages, after saying so.
#
# Use: infra/system.sh [python] [compiler] [java] [redis] [browser]. Without root, or with
# TOPSHELF_NO_SYSTEM set, nothing is installed: the one line that would do it is printed instead.
set -eu

fail() {
    echo "setup: $*" >&2
    exit 1
}

if ! command -v apt-get >/dev/null; then
    fail "the system lacks $*: install Python 3.11 to 3.13 with venv, Java 17 or 21 and, for the" \
        "tests, redis-server and Chromium."
fi

# The first of these packages that this release has, as far as is known before `apt-get update`.
first_of() {
    for package; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            echo "$package"
            return
        fi
    done
    echo "$package"
}

packages_of() {
    for kind; do
        case $kind in
        python | compiler)
            python=$(first_of python3.13 python3.12 python3.11 python3)
            if [ "$kind" = python ]; then echo python3 "$python" "$python-venv"; fi
            # LightFM has no wheel for 3.11.
            case $kind$python in compiler* | *3.11) echo gcc "$python-dev" ;; esac
            ;;
        java) first_of openjdk-21-jre-headless openjdk-17-jre-headless default-jre-headless ;;
        redis) echo redis-server ;;
        # Ubuntu's name, then Debian's.
        browser) first_of chromium-browser chromium ;;
        *) fail "system.sh does not know what $kind is" ;;
        esac
    done
}

line() {
    # Packages named twice are given once.
    echo "apt-get install -y --no-install-recommends" $(packages_of "$@" | tr ' ' '\n' | sort -u)
}

if [ -n "${TOPSHELF_NO_SYSTEM:-}" ]; then
    fail "the system lacks $*, and TOPSHELF_NO_SYSTEM forbids to install it:" \
        "apt-get update && $(line "$@")"
fi
if [ "$(id -u)" != 0 ]; then
    fail "the system lacks $*, which only root can install:" \
        "sudo apt-get update && sudo $(line "$@")"
fi
echo "setup: the system lacks $*: installing it with apt-get (TOPSHELF_NO_SYSTEM=1 forbids it)"
apt-get update -qq || fail "apt-get update failed (output above)."
install=$(line "$@")
echo "setup: $install"
DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null || fail "$install failed (output above)."
