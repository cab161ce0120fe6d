#!/bin/sh
# Finds a Python that Athanor runs on and hands over to launch.py.
cd "$(dirname "$0")" || exit 1
found=
for python in "${ATHANOR_PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
    [ -n "$python" ] && "$python" -c 'import sys' >/dev/null 2>&1 || continue
    found=${found:-$python}
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then
        exec "$python" launch.py "$@"
    fi
done
if [ -n "$found" ]; then
    exec "$found" launch.py "$@"  # says which Python is needed
fi
echo 'Athanor needs Python 3.11, 3.12 or 3.13, and found none. Install it from https://www.python.org/downloads/ and start again.'
echo 'Athanor 需要 Python 3.11、3.12 或 3.13,但没有找到。请从 https://www.python.org/downloads/ 安装后重新启动。'
if [ -t 0 ]; then printf '[Enter] '; read -r _; fi
exit 1
