# Sourced by deploy/run and deploy/test: installs what is missing, and says so.
# shellcheck shell=bash disable=SC2034,SC2154
# Needs $root, the checkout. Exit codes are those of `deploy/run --help`.

# Apart from Muster's own, which are 0 to 3.
readonly EXIT_USAGE=2 EXIT_PACKAGES=10 EXIT_PYTHON=11 EXIT_INSTALL=12

# GStreamer's RTSP server with an H.264 encoder, parsers and text overlays, for Debian's own Python.
readonly GSTREAMER_PACKAGES=(
  python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gstreamer1.0-x fonts-dejavu-core
)

# Chinese letters for printed reports.
readonly FONT_PACKAGE=fonts-wqy-microhei

say() { printf '[muster] %s\n' "$*"; }

stop() { # exit code, sentence
  printf '[muster] %s\n' "$2" >&2
  exit "$1"
}

is_installed() { # Debian package
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() { # Debian packages
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "missing Debian packages: ${missing[*]}"

  local as_root=()
  if ! command -v apt-get >/dev/null; then
    stop $EXIT_PACKAGES "this system has no apt-get: install the equivalents of these packages, then start again"
  elif [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      stop $EXIT_PACKAGES "may not install them; run this, then start again:
    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    fi
  fi
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
  say "installing them with apt-get"
  if ! "${as_root[@]}" "${install[@]}" >/dev/null 2>&1 </dev/null; then
    # The lists may be empty or out of date, as on a fresh machine.
    "${as_root[@]}" apt-get update -q >/dev/null </dev/null \
      || stop $EXIT_PACKAGES "apt-get update failed: see above"
    "${as_root[@]}" "${install[@]}" >/dev/null </dev/null \
      || stop $EXIT_PACKAGES "apt-get install failed: see above"
  fi
}

unpack_package() { # Debian package, folder: its files alone, for a server that must not become a service here
  [ ! -d "$2" ] || return 0
  say "unpacking $1 into $2"
  local loading
  loading=$(mktemp -d)
  if (cd "$loading" && apt-get download -q "$1" && dpkg-deb -x ./*.deb unpacked) >/dev/null 2>&1 </dev/null; then
    mkdir -p "$(dirname "$2")" && mv "$loading/unpacked" "$2"
  else
    say "could not download $1: what needs it is skipped"
  fi
  rm -rf "$loading"
}

python_fits() { # command
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null </dev/null
}

find_python() { # prints the command of a Python that fits
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && python_fits "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

prepare_venv() { # "" or "test": the extra to install
  local extra=${1:-} python venv=$root/.venv
  python=$(find_python) || { install_packages python3 python3-venv && python=$(find_python); } \
    || stop $EXIT_PYTHON "needs Python 3.11, 3.12 or 3.13, and found none"
  # Debian splits the standard library: without this package a venv has no pip.
  "$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv

  # The stamp names all that the installation depends on, the folder too: scripts in a venv hold its path.
  local stamp
  stamp="$(sha256sum <"$root/pyproject.toml") $root $("$python" -c 'import sys; print(sys.version)' | tr '\n' ' ')"
  if [ -x "$venv/bin/muster" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    case $(cat "$venv/muster.stamp" 2>/dev/null) in
      "$stamp test") return 0 ;;
      "$stamp ") [ -n "$extra" ] || return 0 ;;
    esac
  fi

  say "installing Muster into $venv"
  rm -f "$venv/muster.stamp"
  if [ "$(cat "$venv/muster.root" 2>/dev/null)" != "$root" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear "$venv" || stop $EXIT_INSTALL "cannot make $venv: see above"
    printf '%s\n' "$root" >"$venv/muster.root"
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --editable "$root${extra:+[$extra]}" </dev/null \
    || stop $EXIT_INSTALL "pip could not install Muster: see above"
  printf '%s\n' "$stamp $extra" >"$venv/muster.stamp"
}
