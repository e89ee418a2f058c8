# Sourced by the other scripts: enters the repository and makes .venv when it is missing or of another lock.
# TIDEGATE_PYTHON chooses the interpreter. No compiler is needed: everything comes as wheels but two packages, which
# are pure Python.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
env_stamp=".venv/.lock-$(sha256sum <requirements.lock | cut -c1-16)"
if [ ! -e "$env_stamp" ]; then
  env_python="${TIDEGATE_PYTHON:-$(command -v python3.11 || command -v python3.12 || command -v python3 || true)}"
  if ! "${env_python:-false}" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
    echo "Tidegate needs CPython 3.11 or 3.12; set TIDEGATE_PYTHON to one" >&2
    exit 1
  fi
  echo "setting up .venv with $("$env_python" --version), once" >&2
  rm -rf .venv
  "$env_python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --no-binary python-baseconv,varint -r requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
  touch "$env_stamp"
fi
PATH="$PWD/.venv/bin:$PATH"
