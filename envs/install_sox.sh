#!/usr/bin/env bash
# SoX with mp3 support, by apt-get where that is allowed; otherwise the exact command to type.
set -u
command="apt-get update && apt-get install -y --no-install-recommends sox libsox-fmt-mp3"
if ! command -v apt-get >/dev/null; then
  echo "SoX with mp3 support is missing: install sox and its mp3 format with your system's package manager." >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  run=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  run="sudo -n"
else
  echo "SoX with mp3 support is missing: run  sudo sh -c '$command'  and then make again." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
if ! { $run "${apt[@]}" update -qq \
  && $run "${apt[@]}" install -y -qq --no-install-recommends sox libsox-fmt-mp3 >/dev/null; }; then
  echo "SoX could not be installed: run  sudo sh -c '$command'  and then make again." >&2
  exit 1
fi
