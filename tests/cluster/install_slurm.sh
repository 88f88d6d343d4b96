#!/usr/bin/env bash
# SLURM and munge for the cluster tests, by apt-get where that is allowed. Never fails: the tests skip with a reason
# where SLURM is missing. The packaged daemons are not used; the tests start their own in a temporary folder.
set -u
export PATH="$PATH:/usr/sbin:/sbin"
present() { command -v slurmctld && command -v slurmd && command -v munged && command -v sbatch; }
if present >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "SLURM is not installed, so the cluster tests will be skipped; as root: apt-get install slurm-wlm slurm-client munge" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -o DPkg::Lock::Timeout=550 -o Acquire::Retries=3 -qq)
# a file that forbids package scripts to start services: only the programs are wanted
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
{ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends slurm-wlm slurm-client munge; } >/dev/null \
  || echo "SLURM could not be installed, so the cluster tests will be skipped." >&2
exit 0
