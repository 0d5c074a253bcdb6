# Sourced by ./drill and ./test, which set $repo and $me: finds a Python, makes the environment where it is missing or out of date, sets $venv.
# What is up to date costs a few milliseconds here: neither Python nor pip is started.

# True for a Python that is new enough.
recent() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Every Python on PATH, newest names last, then pyenv's: one of them may be new enough where the first is not.
pythons() {
  for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
    (
      IFS=:
      for folder in $PATH; do
        [ -x "$folder/$name" ] && echo "$folder/$name"
      done
    )
  done
  ls -d "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/3.*/bin/python3 2>/dev/null
}

# Sets $python to the first that is new enough and has venv (or for which uv makes up); else says what to install.
find_python() {
  found='' without_venv=''
  for candidate in $(pythons); do
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
    echo "$me: $without_venv has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2
  elif command -v uv >/dev/null 2>&1 && uv python install --quiet 3.13 && python=$(uv python find 3.13); then
    return 0
  else
    echo "$me: Python 3.11 or newer is needed (found: ${found:-none});" \
      "on Debian and Ubuntu: apt-get install python3 python3-venv" >&2
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
    cache=$(cache_folder) || return 2
    venv=$cache/tierdrill/venv-$(printf %s "$repo" | cksum | cut -d ' ' -f 1)
  fi
  trusted "$venv" || return 2
  up_to_date "$1" && return 0
  find_python || return 2
  "$python" "$repo/tools/bootstrap.py" --caller "$me" --venv "$venv" --kind "$1" --stamp "$wanted" || return 2
}

# This user's cache. Never a name in /tmp, which anybody could have made before us.
cache_folder() {
  if [ -n "${XDG_CACHE_HOME:-}" ]; then
    echo "$XDG_CACHE_HOME"
    return 0
  fi
  home=${HOME:-}
  [ -n "$home" ] || home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d : -f 6)
  if [ -z "$home" ] || [ ! -d "$home" ]; then
    echo "$me: $repo is not writable and HOME is not set: TIERDRILL_VENV names the folder for the environment" >&2
    return 1
  fi
  echo "$home/.cache"
}

# True where nobody but this user (or root) can have put code into the environment: its folders and programs are theirs,
# and others cannot write there.
trusted() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  uid=$(id -u)
  wrong=$(find -H "$1" "$1/bin" "$1/bin/tierdrill" "$1/bin/python" -maxdepth 0 \
    \( \( ! -user "$uid" ! -user 0 \) -o \( ! -type l -perm -o=w \) \) 2>/dev/null)
  [ -z "$wrong" ] && return 0
  echo "$me: $(echo "$wrong" | head -n 1): belongs to another user, or others can write to it: code from there is not" \
    "run; remove it, or name another folder with TIERDRILL_VENV" >&2
  return 1
}

up_to_date() {
  [ -x "$venv/bin/tierdrill" ] && [ "$(cat "$venv/.tierdrill-$1" 2>/dev/null)" = "$wanted" ]
}
