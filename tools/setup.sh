# Sourced by ./drill and ./test, which set $repo and $me: finds a Python, makes the environment where it is missing or out of date, sets $venv.
# What is up to date costs a few milliseconds here: neither Python nor pip is started.

# True for a Python that is new enough.
recent() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Sets $python to the first Python that is new enough, one with venv if there is one; says what to install where there is none.
find_python() {
  found='' without_venv=''
  for name in python3 python3.13 python3.12 python3.11 python3.14 python \
    "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/3.*/bin/python3 /usr/bin/python3 /usr/local/bin/python3; do
    candidate=$(command -v "$name" 2>/dev/null) || continue
    if recent "$candidate"; then
      if command -v uv >/dev/null 2>&1 || "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        python=$candidate
        return 0
      fi
      without_venv=${without_venv:-$candidate}
    elif [ -z "$found" ]; then
      version=$("$candidate" --version 2>&1) && found="$version at $candidate"
    fi
  done
  if [ -n "$without_venv" ]; then
    echo "$me: $without_venv has no venv module; on Debian and Ubuntu install it with: apt-get install python3-venv" >&2
  elif command -v uv >/dev/null 2>&1 && uv python install --quiet 3.13 && python=$(uv python find 3.13); then
    return 0
  else
    echo "$me: Python 3.11 or newer is needed (found: ${found:-none}); on Debian and Ubuntu install it with: apt-get install python3 python3-venv" >&2
  fi
  return 2
}

# set_up run|dev
set_up() {
  wanted="$(cat "$repo/requirements.lock" "$repo/requirements-dev.lock" "$repo/pyproject.toml" | cksum) $repo"
  venv=$repo/.venv
  if [ -n "${TIERDRILL_VENV:-}" ]; then
    venv=$TIERDRILL_VENV
  elif [ ! -w "$repo" ] && ! up_to_date "$1"; then
    # A checkout that is not ours to write in: the environment goes to this user's cache.
    venv=${XDG_CACHE_HOME:-${HOME:-/tmp/tierdrill-$(id -u)}/.cache}/tierdrill/venv-$(printf %s "$repo" | cksum | cut -d ' ' -f 1)
  fi
  up_to_date "$1" && return 0
  find_python || return 2
  "$python" "$repo/tools/bootstrap.py" --caller "$me" --venv "$venv" --kind "$1" --stamp "$wanted" || return 2
}

up_to_date() {
  [ -x "$venv/bin/tierdrill" ] && [ "$(cat "$venv/.tierdrill-$1" 2>/dev/null)" = "$wanted" ]
}
