#!/bin/sh
# Installs skerry from this directory, without a network. As root:
#   ./install.sh              into /usr/local; neither service is started
#   ./install.sh --remove     takes the program and the units away; data, settings and users stay
#   ./install.sh --purge      takes these too
# Run again with a later release, it replaces the program, keeps settings and data, and restarts what runs.
set -eu
cd "$(dirname "$0")"
prefix=/usr/local
units=/etc/systemd/system
services="skerry-site.service skerry-hub.service"

say() { printf 'skerry: %s\n' "$*"; }
die() { printf 'skerry: %s\n' "$*" >&2; exit 1; }
manager() { [ ! -d /run/systemd/system ] || systemctl "$@"; }

check() {
  [ "$(id -u)" = 0 ] || die "run this as root"
  wanted=$(cat glibc)
  found=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{ print $2 }')
  [ -n "$found" ] || die "this system's C library is not glibc; run the container image instead"
  [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
    die "this system has glibc $found, skerry needs $wanted or newer; run the container image instead"
  sha256sum --check --quiet SHA256SUMS || die "the archive is damaged: copy it again"
}

add_user() {
  getent passwd "$1" >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir "/var/lib/$1" --shell /usr/sbin/nologin "$1"
}

install_all() {
  check
  for name in skerry-site skerry-hub; do add_user "$name"; done
  # Beside the old one and then in its place, so that what runs is not cut off from its libraries for long.
  rm -rf "$prefix/lib/skerry.new"
  mkdir -p "$prefix/lib" "$prefix/bin" /etc/skerry
  cp -R skerry "$prefix/lib/skerry.new"
  rm -rf "$prefix/lib/skerry.old"
  [ ! -d "$prefix/lib/skerry" ] || mv "$prefix/lib/skerry" "$prefix/lib/skerry.old"
  mv "$prefix/lib/skerry.new" "$prefix/lib/skerry"
  rm -rf "$prefix/lib/skerry.old"
  ln -sfn ../lib/skerry/skerry "$prefix/bin/skerry"
  for file in site.yaml hub.env; do
    [ -e "/etc/skerry/$file" ] || cp "etc/$file" "/etc/skerry/$file"
  done
  mkdir -p "$units"
  for unit in $services; do
    # A site runs under the launcher, which can be told by the hub to try another release (deploy.md, "Upgrade").
    sed "s|/usr/bin/skerry site|$prefix/lib/skerry/skerry-launcher site|; s|/usr/bin/skerry|$prefix/bin/skerry|; s|^Documentation=.*|Documentation=file://$prefix/lib/skerry/doc/deploy.md|" "systemd/$unit" >"$units/$unit"
  done
  cp -R doc "$prefix/lib/skerry/doc"
  manager daemon-reload
  # shellcheck disable=SC2086
  manager try-restart $services
  say "$("$prefix/bin/skerry" version) is in $prefix/bin/skerry; see $prefix/lib/skerry/doc/deploy.md"
}

remove_all() {
  [ "$(id -u)" = 0 ] || die "run this as root"
  for unit in $services; do
    [ ! -e "$units/$unit" ] || manager disable --now "$unit"
    rm -f "$units/$unit"
  done
  rm -rf "$prefix/lib/skerry" "$prefix/bin/skerry"
  manager daemon-reload
  say "removed; data is in /var/lib/skerry-site and /var/lib/skerry-hub, settings in /etc/skerry"
}

purge_all() {
  remove_all
  rm -rf /var/lib/skerry-site /var/lib/skerry-hub /etc/skerry
  for name in skerry-site skerry-hub; do
    ! getent passwd "$name" >/dev/null || userdel "$name"
  done
  say "data, settings and users are gone, too"
}

case "${1:-}" in
  "") install_all ;;
  --remove) remove_all ;;
  --purge) purge_all ;;
  *) die "unknown option '$1'; see the head of this script" ;;
esac
